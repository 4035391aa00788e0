#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "base/mapped_file.h"

namespace base {
namespace {

TEST(Error, IsOfTheKindInputUnlessItSaysOtherwise) {
  EXPECT_EQ(Error("model.gguf", "is empty").kind(), ErrorKind::Input);
  const Error busy(ErrorKind::Busy, "batch", "is full", "try again later");
  EXPECT_EQ(busy.kind(), ErrorKind::Busy);
  EXPECT_STREQ(busy.what(), "batch: is full; try again later");
}

TEST(Error, CutsALongCauseBetweenCharacters) {
  const Error error("file", std::string(399, 'a') + "é" + std::string(100, 'b'));
  EXPECT_EQ(error.why(), std::string(399, 'a') + "…");
}

TEST(Error, OfASystemCallIsInputWhereTheNameIsAtFault) {
  EXPECT_EQ(kind_of_errno(ENOENT), ErrorKind::Input);
  EXPECT_EQ(kind_of_errno(EISDIR), ErrorKind::Input);
  EXPECT_EQ(kind_of_errno(EACCES), ErrorKind::Resource);
  EXPECT_EQ(kind_of_errno(ENOSPC), ErrorKind::Resource);
  EXPECT_EQ(kind_of_errno(ENOMEM), ErrorKind::Resource);
  EXPECT_EQ(kind_of_errno(EMFILE), ErrorKind::Resource);
}

TEST(Error, OfAnyFailureIsTheErrorItselfOrOneOfMemoryOrOneThatNobodyExpected) {
  const Error busy(ErrorKind::Busy, "batch", "is full");
  EXPECT_STREQ(as_error(busy, "answer").what(), busy.what());
  EXPECT_EQ(as_error(busy, "answer").kind(), ErrorKind::Busy);
  EXPECT_EQ(as_error(std::bad_alloc(), "answer").kind(), ErrorKind::Resource);
  EXPECT_EQ(as_error(std::out_of_range("at"), "answer").kind(), ErrorKind::Internal);
}

TEST(MappedFile, OfAMissingFileIsAnErrorOfTheInput) {
  try {
    MappedFile::open("/nonexistent/model.gguf");
    FAIL() << "opened what does not exist";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Input);
  }
}

}  // namespace
}  // namespace base

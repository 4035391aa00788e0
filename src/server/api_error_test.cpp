#include "server/api_error.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "server/routes.h"

namespace server {
namespace {

using base::ErrorKind;

base::Error error_of(ErrorKind kind) { return {kind, "/srv/secret/file", "went wrong", "mend it"}; }

TEST(ApiError, HasTheStatusOfTheKind) {
  EXPECT_EQ(told_to_client(error_of(ErrorKind::Input)).status, 400U);
  EXPECT_EQ(told_to_client(error_of(ErrorKind::TooLong)).status, 400U);
  EXPECT_EQ(told_to_client(error_of(ErrorKind::Busy)).status, 503U);
  EXPECT_EQ(told_to_client(error_of(ErrorKind::Resource)).status, 503U);
  EXPECT_EQ(told_to_client(error_of(ErrorKind::Internal)).status, 500U);
}

TEST(ApiError, SaysWhatIsTooLong) {
  const ApiError told = told_to_client(error_of(ErrorKind::TooLong));
  EXPECT_EQ(told.code, "context_length_exceeded");
  EXPECT_EQ(told.param, "messages");
}

TEST(ApiError, KeepsTheDetailsOfItsOwnMistakesFromTheClient) {
  const base::Error ours = error_of(ErrorKind::Internal);
  const std::runtime_error other("/srv/secret/file");
  for (const std::exception* failure :
       {static_cast<const std::exception*>(&ours), static_cast<const std::exception*>(&other)}) {
    const ApiError told = told_to_client(*failure);
    EXPECT_EQ(told.status, 500U);
    EXPECT_EQ(std::string(told.what()).find("secret"), std::string::npos) << told.what();
    EXPECT_TRUE(belongs_into_log(*failure));
  }
}

TEST(ApiError, IsLackOfMemoryWhereThatIs) {
  EXPECT_EQ(told_to_client(std::bad_alloc()).status, 503U);
  EXPECT_TRUE(belongs_into_log(std::bad_alloc()));
}

TEST(ApiError, IsHandedOnAsItIs) {
  const ApiError told = told_to_client(ApiError(418, "tea only", "drink", "teapot"));
  EXPECT_EQ(told.status, 418U);
  EXPECT_EQ(told.param, "drink");
  EXPECT_EQ(told.code, "teapot");
  EXPECT_FALSE(belongs_into_log(told));
}

TEST(ApiError, OfAClientStaysOutOfTheLog) {
  EXPECT_FALSE(belongs_into_log(error_of(ErrorKind::Input)));
  EXPECT_FALSE(belongs_into_log(error_of(ErrorKind::TooLong)));
  EXPECT_FALSE(belongs_into_log(error_of(ErrorKind::Busy)));
  EXPECT_TRUE(belongs_into_log(error_of(ErrorKind::Resource)));
}

TEST(Routes, TellABusyServersClientWhenToComeAgain) {
  for (const char* path : {"/v1/chat/completions", "/"}) {
    const Response response = Routes::error({.path = path}, told_to_client(error_of(ErrorKind::Busy)));
    EXPECT_EQ(response.status, 503U);
    bool found = false;
    for (const auto& [name, value] : response.headers) found |= name == "Retry-After" && std::stoi(value) > 0;
    EXPECT_TRUE(found) << path;
  }
}

}  // namespace
}  // namespace server

// The one exception type of the program. An error says what failed, why, and what to do about it; the command line
// prints it as `smollm3: what: why; what to do`, the server answers with it.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace base {

// Whose fault it is, and so what may help: exit codes and HTTP statuses follow from it.
enum class ErrorKind {
  Input,     // what was given is wrong: a file, a flag, a request; the same again will fail again
  TooLong,   // a conversation that the context cannot hold
  Busy,      // too much is under way; the same may succeed later
  Resource,  // the machine lacks something: memory, space, a device, a permission
  Internal,  // the program is wrong; clients are not told the details, which may name paths
};

// The kind of a failed system call: Input where the name or what it names is at fault, Resource otherwise.
ErrorKind kind_of_errno(int error_number);

class Error : public std::runtime_error {
 public:
  // `what` names the thing that failed ("model.gguf"), `why` the cause, `remedy` the next step; `remedy` may be empty
  // where there is nothing the user could do. A cause is cut at 400 bytes: it may quote a name of any length from a
  // file.
  Error(ErrorKind kind, std::string_view what, std::string_view why, std::string_view remedy = {});
  // Of kind Input, as most are.
  Error(std::string_view what, std::string_view why, std::string_view remedy = {});

  ErrorKind kind() const { return kind_; }
  const std::string& subject() const { return subject_; }
  const std::string& why() const { return why_; }
  const std::string& remedy() const { return remedy_; }

 private:
  ErrorKind kind_;
  std::string subject_;
  std::string why_;
  std::string remedy_;
};

// The failure itself if it is an Error, or else one about `what`: memory that ran out (Resource), or what nobody
// expected (Internal).
Error as_error(const std::exception& failure, std::string_view what);

}  // namespace base

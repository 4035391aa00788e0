// The two things of an instruction set that threads need and C++ has no words for; on other processors they do nothing.
#pragma once

#include <cstdint>

namespace base {

// For loops that wait: leaves the processor to its other thread for a moment.
void relax();

// Sets flush-to-zero and denormals-are-zero on the calling thread, for as long as the object lives.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace base

#include "base/processor.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace base {

#if defined(__x86_64__)

namespace {
constexpr unsigned flush_bits = 0x8040;  // MXCSR: flush to zero (15), denormals are zero (6)
}

void relax() { _mm_pause(); }

FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(static_cast<unsigned>(saved_) | flush_bits); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }

#elif defined(__aarch64__)

void relax() { asm volatile("yield"); }

FlushDenormals::FlushDenormals() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(saved_ | (1ULL << 24)));
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

#else

void relax() {}

FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() {}

#endif

}  // namespace base

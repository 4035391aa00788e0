// Matrix products of a warpgroup, 128 threads: asynchronous, with B and if wanted A in shared memory (PTX ISA 9.0,
// section 9.7.15). Only sm_90a has them: code for other architectures compiles, and traps where one is reached.
//
// A product in full: write operands to shared memory; fence_async_shared(); a barrier; warpgroup_arrive();
// multiply_warpgroup() for every 16 of k; warpgroup_commit(); warpgroup_wait<0>(). Until then the sums, A's registers
// and the shared memory must not be touched.
#pragma once

#include <cstdint>

namespace compute::cuda::ptx {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SMOLLM3_WGMMA(...) asm volatile(__VA_ARGS__)
#elif defined(__CUDA_ARCH__)
#define SMOLLM3_WGMMA(...) __trap()
#else
#define SMOLLM3_WGMMA(...)
#endif

// wgmma.fence: what this warpgroup did with registers of the products to come is done.
__device__ inline void warpgroup_arrive() { SMOLLM3_WGMMA("wgmma.fence.sync.aligned;" ::: "memory"); }
// The products issued since the last commit are one group, for which can be waited.
__device__ inline void warpgroup_commit() { SMOLLM3_WGMMA("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most `pending` of the groups committed last are under way.
template <int pending>
__device__ inline void warpgroup_wait() {
  SMOLLM3_WGMMA("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}
// What this thread wrote to shared memory is seen by products issued after the next barrier.
__device__ inline void fence_async_shared() { SMOLLM3_WGMMA("fence.proxy.async.shared::cta;" ::: "memory"); }

// An operand in shared memory with k along its rows of 64 halves (128 bytes) and the 128-byte swizzle: 16-byte chunk c
// of row r lies at chunk c ^ (r % 8); each 8 rows take 1,024 bytes, one group after the other, the first at a multiple
// of 1,024. `shared_address`: of the first row; each 16 of k add 32 to it.
__device__ inline std::uint64_t matrix_descriptor(std::uint32_t shared_address) {
  constexpr std::uint64_t unused_leading_offset = std::uint64_t{1} << 16;
  constexpr std::uint64_t stride_of_8_rows = std::uint64_t{1024 >> 4} << 32;
  constexpr std::uint64_t swizzle_128_bytes = std::uint64_t{1} << 62;
  return swizzle_128_bytes | stride_of_8_rows | unused_leading_offset | (shared_address & 0x3FFFF) >> 4;
}

// The instruction's text, "{%0, %1, …}" with the sums, and their constraints, in steps of 4 and 32 sums.
#define SMOLLM3_SUMS_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SMOLLM3_SUMS_8(i) SMOLLM3_SUMS_4(i), SMOLLM3_SUMS_4(i + 4)
#define SMOLLM3_SUMS_16(i) SMOLLM3_SUMS_8(i), SMOLLM3_SUMS_8(i + 8)
#define SMOLLM3_SUMS_32(i) SMOLLM3_SUMS_16(i), SMOLLM3_SUMS_16(i + 16)
#define SMOLLM3_SUMS_64(i) SMOLLM3_SUMS_32(i), SMOLLM3_SUMS_32(i + 32)
#define SMOLLM3_SUMS_128(i) SMOLLM3_SUMS_64(i), SMOLLM3_SUMS_64(i + 64)

#define SMOLLM3_NAMES_4 "%0,%1,%2,%3"
#define SMOLLM3_NAMES_8 SMOLLM3_NAMES_4 ",%4,%5,%6,%7"
#define SMOLLM3_NAMES_16 SMOLLM3_NAMES_8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define SMOLLM3_NAMES_32 SMOLLM3_NAMES_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SMOLLM3_NAMES_64                                              \
  SMOLLM3_NAMES_32                                                    \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
  "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define SMOLLM3_NAMES_128                                                        \
  SMOLLM3_NAMES_64                                                               \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"            \
  "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"             \
  "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111," \
  "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

// `count` sums for `n` columns; p0 to p5 are the numbers of the operands after the sums. Whether the product is added
// to the sums or takes their place is a predicate.
#define SMOLLM3_WGMMA_REGISTERS(n, count, p0, p1, p2, p3, p4, p5)                                       \
  SMOLLM3_WGMMA("{.reg .pred add; setp.ne.b32 add, %" #p5                                               \
                ", 0;"                                                                                  \
                "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.f16.f16 {" SMOLLM3_NAMES_##count        \
                "}, {%" #p0 ",%" #p1 ",%" #p2 ",%" #p3 "}, %" #p4 ", add, 1, 1, 0;}"                    \
                : SMOLLM3_SUMS_##count(0)                                                               \
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(accumulate)) \
                : "memory")
#define SMOLLM3_WGMMA_SHARED(n, count, p0, p1, p2)                                                                     \
  SMOLLM3_WGMMA("{.reg .pred add; setp.ne.b32 add, %" #p2                                                              \
                ", 0;"                                                                                                 \
                "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.f16.f16 {" SMOLLM3_NAMES_##count "}, %" #p0 ", %" #p1  \
                                                                                                 ", add, 1, 1, 0, 0;}" \
                : SMOLLM3_SUMS_##count(0)                                                                              \
                : "l"(a), "l"(b), "r"(static_cast<int>(accumulate))                                                    \
                : "memory")

// d (+)= a · b for 16 of k, halves with float sums: a 64 rows, b N columns (rows of the operand in shared memory). Warp
// w of the warpgroup has rows 16w to 16w + 15 of a, in the fragments of multiply(), and of d: with g = lane / 4 and t =
// lane % 4, d[4j] and d[4j + 1] are row g at columns 8j + 2t and the next, d[4j + 2] and d[4j + 3] row g + 8.
template <int N>
__device__ inline void multiply_warpgroup([[maybe_unused]] float (&d)[N / 2],
                                          [[maybe_unused]] const std::uint32_t (&a)[4],
                                          [[maybe_unused]] std::uint64_t b, [[maybe_unused]] bool accumulate) {
  static_assert(N == 8 || N == 16 || N == 32 || N == 64 || N == 128 || N == 256);
  if constexpr (N == 8) SMOLLM3_WGMMA_REGISTERS(8, 4, 4, 5, 6, 7, 8, 9);
  if constexpr (N == 16) SMOLLM3_WGMMA_REGISTERS(16, 8, 8, 9, 10, 11, 12, 13);
  if constexpr (N == 32) SMOLLM3_WGMMA_REGISTERS(32, 16, 16, 17, 18, 19, 20, 21);
  if constexpr (N == 64) SMOLLM3_WGMMA_REGISTERS(64, 32, 32, 33, 34, 35, 36, 37);
  if constexpr (N == 128) SMOLLM3_WGMMA_REGISTERS(128, 64, 64, 65, 66, 67, 68, 69);
  if constexpr (N == 256) SMOLLM3_WGMMA_REGISTERS(256, 128, 128, 129, 130, 131, 132, 133);
}

// The same with both operands in shared memory.
template <int N>
__device__ inline void multiply_warpgroup([[maybe_unused]] float (&d)[N / 2], [[maybe_unused]] std::uint64_t a,
                                          [[maybe_unused]] std::uint64_t b, [[maybe_unused]] bool accumulate) {
  static_assert(N == 64 || N == 128);
  if constexpr (N == 64) SMOLLM3_WGMMA_SHARED(64, 32, 32, 33, 34);
  if constexpr (N == 128) SMOLLM3_WGMMA_SHARED(128, 64, 64, 65, 66);
}

#undef SMOLLM3_WGMMA_SHARED
#undef SMOLLM3_WGMMA_REGISTERS
#undef SMOLLM3_NAMES_128
#undef SMOLLM3_NAMES_64
#undef SMOLLM3_NAMES_32
#undef SMOLLM3_NAMES_16
#undef SMOLLM3_NAMES_8
#undef SMOLLM3_NAMES_4
#undef SMOLLM3_SUMS_128
#undef SMOLLM3_SUMS_64
#undef SMOLLM3_SUMS_32
#undef SMOLLM3_SUMS_16
#undef SMOLLM3_SUMS_8
#undef SMOLLM3_SUMS_4
#undef SMOLLM3_WGMMA

}  // namespace compute::cuda::ptx

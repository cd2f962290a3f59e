// The type of activations and weights between kernels, and what all kernels share. Compiled when the program runs, once for each
// tower, with these macros: NUMBER (0 f32, 1 bf16, 2 f16), HIDDEN (values of a row), HEAD (values of an attention head).
// No header of CUDA's is needed: conversions are in PTX.

#define INFINITE __int_as_float(0x7f800000)

#if NUMBER == 0
typedef float number;
typedef float4 four;  // four numbers
#else
typedef unsigned short number;
typedef uint2 four;
#endif

__device__ __forceinline__ float widen(number x) {
#if NUMBER == 0
  return x;
#elif NUMBER == 1
  return __uint_as_float(unsigned(x) << 16);
#else
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
#endif
}

#if NUMBER != 0
// Two numbers, the first in the low half, rounded to nearest.
__device__ __forceinline__ unsigned narrow2(float low, float high) {
  unsigned pair;
#if NUMBER == 1
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#endif
  return pair;
}
#endif

__device__ __forceinline__ number narrow(float x) {
#if NUMBER == 0
  return x;
#else
  return number(narrow2(x, 0.f));
#endif
}

__device__ __forceinline__ four narrow4(float4 x) {
#if NUMBER == 0
  return x;
#else
  return make_uint2(narrow2(x.x, x.y), narrow2(x.z, x.w));
#endif
}

__device__ __forceinline__ float4 widen4(four x) {
#if NUMBER == 0
  return x;
#else
  return make_float4(widen(number(x.x)), widen(number(x.x >> 16)), widen(number(x.y)), widen(number(x.y >> 16)));
#endif
}

// The sum over a warp, in every lane.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

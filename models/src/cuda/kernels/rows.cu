// What happens to rows between matrix products: patches, norms, rotary positions, gates, pooling. Each kernel reads its inputs once.

// Values of a row that a lane of a warp keeps, in fours.
#define FOURS ((HIDDEN + 127) / 128)

// Pixels (uint8, HWC, RGB) [images, size, size, 3] to patches [images * side * side, width], channel first, zero after the last
// value. `levels` [3, 256]: what a channel's levels are after normalisation.
extern "C" __global__ void patches(const unsigned char* pixels, const float* levels, number* out, int size, int side, int patch, int width) {
  int row = blockIdx.x;
  int image = row / (side * side), place = row % (side * side);
  int area = patch * patch;
  const unsigned char* from = pixels + ((long long)image * size + (place / side) * patch) * size * 3 + (place % side) * patch * 3;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float value = 0.f;
    if (i < 3 * area) {
      int channel = i / area, y = i % area / patch, x = i % patch;
      value = levels[channel * 256 + from[(y * size + x) * 3 + channel]];
    }
    out[(long long)row * width + i] = narrow(value);
  }
}

// Every image's states begin as the positions' embeddings: out [rows, HIDDEN], positions [count, HIDDEN].
extern "C" __global__ void positions(const float4* embeddings, float4* out, int count, int rows) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < (long long)rows * (HIDDEN / 4)) out[i] = embeddings[i % ((long long)count * (HIDDEN / 4))];
}

// One row's values, in the lanes of a warp.
struct Row {
  float4 values[FOURS];

  __device__ __forceinline__ void load(const float* from, int lane) {
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
      int at = i * 32 + lane;
      values[i] = at < HIDDEN / 4 ? ((const float4*)from)[at] : make_float4(0.f, 0.f, 0.f, 0.f);
    }
  }

  __device__ __forceinline__ float sum() const {
    float total = 0.f;
#pragma unroll
    for (int i = 0; i < FOURS; i++) total += (values[i].x + values[i].y) + (values[i].z + values[i].w);
    return warp_sum(total);
  }

  // The sum of squares of the differences from `mean`.
  __device__ __forceinline__ float squares(float mean, int lane) const {
    float total = 0.f;
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
      if (i * 32 + lane >= HIDDEN / 4) break;
      float4 v = values[i];
      v.x -= mean, v.y -= mean, v.z -= mean, v.w -= mean;
      total += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
    }
    return warp_sum(total);
  }
};

// Layer norm (arXiv 1607.06450) of rows, one a warp.
extern "C" __global__ void layer_norm(const float* in, const float4* weight, const float4* bias, four* out, float eps, int rows) {
  int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  Row x;
  x.load(in + (long long)row * HIDDEN, lane);
  float mean = x.sum() / HIDDEN;
  float scale = rsqrtf(x.squares(mean, lane) / HIDDEN + eps);
#pragma unroll
  for (int i = 0; i < FOURS; i++) {
    int at = i * 32 + lane;
    if (at >= HIDDEN / 4) break;
    float4 v = x.values[i], w = weight[at], b = bias[at];
    v.x = (v.x - mean) * scale * w.x + b.x, v.y = (v.y - mean) * scale * w.y + b.y;
    v.z = (v.z - mean) * scale * w.z + b.z, v.w = (v.w - mean) * scale * w.w + b.w;
    out[(long long)row * (HIDDEN / 4) + at] = narrow4(v);
  }
}

// Root-mean-square norm (arXiv 1910.07467) of rows, one a warp.
template <typename Store>
__device__ __forceinline__ void rms(const float* in, const float4* weight, float eps, int rows, Store store) {
  int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  Row x;
  x.load(in + (long long)row * HIDDEN, lane);
  float scale = rsqrtf(x.squares(0.f, lane) / HIDDEN + eps);
#pragma unroll
  for (int i = 0; i < FOURS; i++) {
    int at = i * 32 + lane;
    if (at >= HIDDEN / 4) break;
    float4 v = x.values[i], w = weight[at];
    v.x *= scale * w.x, v.y *= scale * w.y, v.z *= scale * w.z, v.w *= scale * w.w;
    store((long long)row * (HIDDEN / 4) + at, v);
  }
}

extern "C" __global__ void rms_norm(const float* in, const float4* weight, four* out, float eps, int rows) {
  rms(in, weight, eps, rows, [=](long long at, float4 v) { out[at] = narrow4(v); });
}

// The same, with its result in f32.
extern "C" __global__ void rms_norm_f32(const float* in, const float4* weight, float4* out, float eps, int rows) {
  rms(in, weight, eps, rows, [=](long long at, float4 v) { out[at] = v; });
}

// Rotates heads (rotate-half, arXiv 2104.09864) in place, one a warp: the first `heads` of each row of `stride` values, by the row's
// position. `angles` [positions, HEAD / 2]: cosine and sine. Where there are norms, a head is normed first: `first_norm` the first
// `first` heads, `second_norm` the others.
extern "C" __global__ void rotary(number* x, const int* at, const float2* angles, const float* first_norm, const float* second_norm, float eps,
                                  int rows, int stride, int heads, int first) {
  int number_of = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  int row = number_of / heads, head = number_of % heads;
  if (row >= rows) return;
  number* values = x + (long long)row * stride + head * HEAD;
  const float* norm = head < first ? first_norm : second_norm;
  const int pairs = (HEAD / 2 + 31) / 32;
  float low[pairs], high[pairs];
  float squares = 0.f;
#pragma unroll
  for (int i = 0; i < pairs; i++) {
    int pair = i * 32 + lane;
    bool is_inside = pair < HEAD / 2;
    low[i] = is_inside ? widen(values[pair]) : 0.f;
    high[i] = is_inside ? widen(values[pair + HEAD / 2]) : 0.f;
    squares += low[i] * low[i] + high[i] * high[i];
  }
  float scale = norm ? rsqrtf(warp_sum(squares) / HEAD + eps) : 1.f;
  const float2* turn = angles + (long long)at[row] * (HEAD / 2);
#pragma unroll
  for (int i = 0; i < pairs; i++) {
    int pair = i * 32 + lane;
    if (pair >= HEAD / 2) break;
    float a = low[i] * scale, b = high[i] * scale;
    if (norm) a *= norm[pair], b *= norm[pair + HEAD / 2];
    float2 angle = turn[pair];
    values[pair] = narrow(a * angle.x - b * angle.y);
    values[pair + HEAD / 2] = narrow(b * angle.x + a * angle.y);
  }
}

// silu(gate) * up: in [rows, 2 * inner], gates first; out [rows, inner]. Four values a thread.
extern "C" __global__ void swiglu(const four* in, four* out, int inner, int rows) {
  int fours = inner / 4;
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (long long)rows * fours) return;
  long long row = i / fours;
  int at = i % fours;
  float4 gate = widen4(in[row * 2 * fours + at]), up = widen4(in[row * 2 * fours + fours + at]);
  float4 v;
  v.x = gate.x / (1.f + __expf(-gate.x)) * up.x, v.y = gate.y / (1.f + __expf(-gate.y)) * up.y;
  v.z = gate.z / (1.f + __expf(-gate.z)) * up.z, v.w = gate.w / (1.f + __expf(-gate.w)) * up.w;
  out[i] = narrow4(v);
}

// Exact GELU (arXiv 1606.08415) in place.
extern "C" __global__ void gelu_erf(number* x, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float v = widen(x[i]);
  x[i] = narrow(0.5f * v * (1.f + erff(v * 0.70710678f)));
}

// GELU by tanh in place: where the matrix product's own is less exact than f32.
extern "C" __global__ void gelu_tanh(number* x, long long count) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float v = widen(x[i]);
  x[i] = narrow(0.5f * v * (1.f + tanhf(0.79788456f * (v + 0.044715f * v * v * v))));
}

// Averages over bins of a grid: in [images, side, side, HIDDEN], out [images, tokens, HIDDEN]. A bin is rows from, to, columns from, to.
extern "C" __global__ void pool(const float4* in, const int4* bins, four* out, int side, int tokens) {
  int image = blockIdx.x / tokens, token = blockIdx.x % tokens;
  int4 bin = bins[token];
  float count = (bin.y - bin.x) * (bin.w - bin.z);
  for (int i = threadIdx.x; i < HIDDEN / 4; i += blockDim.x) {
    float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
    for (int y = bin.x; y < bin.y; y++) {
      for (int x = bin.z; x < bin.w; x++) {
        float4 v = in[((long long)image * side * side + y * side + x) * (HIDDEN / 4) + i];
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
      }
    }
    sum.x /= count, sum.y /= count, sum.z /= count, sum.w /= count;
    out[(long long)blockIdx.x * (HIDDEN / 4) + i] = narrow4(sum);
  }
}

// The language model's rows: where `images` has an address, the HIDDEN floats there, else the embedding of the token of that number.
extern "C" __global__ void embed(const unsigned long long* images, const int* tokens, const four* embeddings, float4* out) {
  long long row = blockIdx.x;
  const float4* image = (const float4*)images[row];
  const four* token = embeddings + (long long)tokens[row] * (HIDDEN / 4);
  for (int i = threadIdx.x; i < HIDDEN / 4; i += blockDim.x) out[row * (HIDDEN / 4) + i] = image ? image[i] : widen4(token[i]);
}

// Rows of these numbers.
extern "C" __global__ void take(const float4* in, const int* rows, float4* out) {
  const float4* from = in + (long long)rows[blockIdx.x] * (HIDDEN / 4);
  for (int i = threadIdx.x; i < HIDDEN / 4; i += blockDim.x) out[(long long)blockIdx.x * (HIDDEN / 4) + i] = from[i];
}

// After Dao, "FlashAttention-2", arXiv 2307.08691: a block takes QUERIES queries of a head and walks over the keys, KEYS at a time; scores
// and sums stay in registers, softmax goes along. Products on tensor cores (mma.sync m16n8k16, m16n8k8), 16 * STRIPES queries a warp.
// HEAD is a multiple of 8.

#define WARPS 4
#define STRIPES (HEAD <= 80 ? 2 : 1)
#define QUERIES (16 * STRIPES * WARPS)
#define KEYS 64
// Values between rows in shared memory: an odd number of sixteens of bytes, so that eight rows lie in different banks.
#define PITCH (HEAD + (HEAD / 8 % 2 == 0 ? 8 : 0))
#define DEPTHS (HEAD / 16)
#define HAS_HALF (HEAD % 16 == 8)
#define COLUMNS (HEAD / 8)
#define MAIN (COLUMNS >= 16 ? 16 : COLUMNS >= 8 ? 8 : COLUMNS >= 4 ? 4 : 2)

#if NUMBER == 1
#define MMA_TYPE "bf16"
#else
#define MMA_TYPE "f16"
#endif

__device__ __forceinline__ void mma16(float (&d)[4], const unsigned* a, unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." MMA_TYPE "." MMA_TYPE ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void mma8(float (&d)[4], const unsigned* a, unsigned b0) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32." MMA_TYPE "." MMA_TYPE ".f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b0));
}

__device__ __forceinline__ unsigned address(const void* shared) { return (unsigned)__cvta_generic_to_shared(shared); }

// Four 8 x 8 matrices, whose rows the lanes' addresses name.
__device__ __forceinline__ void ldmatrix4(unsigned (&r)[4], const void* at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address(at)) : "memory");
}

__device__ __forceinline__ void ldmatrix4_turned(unsigned (&r)[4], const void* at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address(at)) : "memory");
}

__device__ __forceinline__ void ldmatrix2_turned(unsigned (&r)[2], const void* at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(address(at)) : "memory");
}

// Sixteen bytes into shared memory, zeros where the row does not exist.
__device__ __forceinline__ void copy16(void* to, const void* from, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address(to)), "l"(from), "r"(exists ? 16 : 0) : "memory");
}

// Copies a head's `real` rows into shared memory, and zeros for those that do not exist.
template <int COUNT>
__device__ __forceinline__ void copy_rows(number (*to)[PITCH], const number* from, long long stride, int real) {
  const int main = MAIN;
  int row = threadIdx.x / main, at = threadIdx.x % main * 8;
  const number* source = from + row * stride + at;
  number* target = &to[row][at];
  const int step = WARPS * 32 / main;
#pragma unroll
  for (int first = 0; first < COUNT; first += step) copy16(target + first * PITCH, source + first * stride, row + first < real);
  if (COLUMNS > main) {
    const int rest = COLUMNS - main > 0 ? COLUMNS - main : 1;
#pragma unroll
    for (int first = 0; first < COUNT * rest; first += WARPS * 32) {
      int i = first + threadIdx.x;
      if (i < COUNT * rest) copy16(&to[i / rest][main * 8 + i % rest * 8], from + i / rest * stride + main * 8 + i % rest * 8, i / rest < real);
    }
  }
}

__device__ __forceinline__ float power(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

struct Shared {
  number queries[QUERIES][PITCH];
  number keys[2][KEYS][PITCH];
  number values[2][KEYS][PITCH];
};

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    attention(const Tile* tiles, Heads q, Heads k, Heads v, number* out, int heads, int group, float scale) {
  extern __shared__ __align__(128) char memory[];
  Shared& shared = *(Shared*)memory;
  const Tile tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const number* keys = k.values + head / group * HEAD;
  const number* values = v.values + head / group * HEAD;
  // Of the own rows, those that the last of these queries sees.
  const int own_rows = min(tile.own_rows, tile.seen + tile.first + tile.queries - 1);
  const int shared_blocks = (tile.shared_rows + KEYS - 1) / KEYS, blocks = shared_blocks + (own_rows + KEYS - 1) / KEYS;

  auto copy_block = [&](int block) {
    bool is_own = block >= shared_blocks;
    int start = (is_own ? block - shared_blocks : block) * KEYS;
    int real = (is_own ? own_rows : tile.shared_rows) - start;
    long long row = (is_own ? tile.own : tile.shared) + start;
    copy_rows<KEYS>(shared.keys[block % 2], keys + row * k.stride, k.stride, real);
    copy_rows<KEYS>(shared.values[block % 2], values + row * v.stride, v.stride, real);
    asm volatile("cp.async.commit_group;" ::: "memory");
  };

  copy_rows<QUERIES>(shared.queries, q.values + tile.query * q.stride + head * HEAD, q.stride, tile.queries);
  copy_block(0);

  unsigned query[STRIPES][DEPTHS + HAS_HALF][4];
  float sums[STRIPES][COLUMNS][4] = {};
  float most[STRIPES][2], total[STRIPES][2];
#pragma unroll
  for (int s = 0; s < STRIPES; s++) most[s][0] = most[s][1] = -INFINITE, total[s][0] = total[s][1] = 0.f;
  const float to_exp2 = scale * 1.44269504f;

  for (int block = 0; block < blocks; block++) {
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    if (block + 1 < blocks) copy_block(block + 1);
    if (block == 0) {
#pragma unroll
      for (int s = 0; s < STRIPES; s++) {
        // Lanes 0 to 15 name rows, at the first eight columns, lanes 16 to 31 the same rows at the next eight.
        const number* row = shared.queries[(warp * STRIPES + s) * 16 + lane % 16];
#pragma unroll
        for (int d = 0; d < DEPTHS; d++) ldmatrix4(query[s][d], row + d * 16 + lane / 16 * 8);
        if (HAS_HALF) ldmatrix4(query[s][DEPTHS], row + DEPTHS * 16);
      }
    }

    float scores[STRIPES][KEYS / 8][4] = {};
    const number(*key)[PITCH] = shared.keys[block % 2];
#pragma unroll
    for (int d = 0; d < DEPTHS; d++) {
#pragma unroll
      for (int n = 0; n < KEYS / 16; n++) {
        // Keys n * 16 to + 7 at both halves of the depth, then keys + 8 to + 15.
        unsigned b[4];
        ldmatrix4(b, &key[n * 16 + lane / 16 * 8 + lane % 8][d * 16 + lane / 8 % 2 * 8]);
#pragma unroll
        for (int s = 0; s < STRIPES; s++) {
          mma16(scores[s][2 * n], query[s][d], b[0], b[1]);
          mma16(scores[s][2 * n + 1], query[s][d], b[2], b[3]);
        }
      }
    }
    if (HAS_HALF) {
#pragma unroll
      for (int n = 0; n < KEYS / 32; n++) {
        unsigned b[4];
        ldmatrix4(b, &key[n * 32 + lane][DEPTHS * 16]);
#pragma unroll
        for (int s = 0; s < STRIPES; s++) {
#pragma unroll
          for (int i = 0; i < 4; i++) mma8(scores[s][4 * n + i], query[s][DEPTHS], b[i]);
        }
      }
    }

    bool is_own = block >= shared_blocks;
    int start = (is_own ? block - shared_blocks : block) * KEYS;
    // What all of these queries see.
    int all_see = is_own ? min(tile.own_rows, tile.seen + tile.first) : tile.shared_rows;
    if (start + KEYS > all_see) {
#pragma unroll
      for (int s = 0; s < STRIPES; s++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          int number_of = (warp * STRIPES + s) * 16 + half * 8 + lane / 4;
          int seen = is_own ? min(tile.own_rows, tile.seen + tile.first + number_of) : tile.shared_rows;
#pragma unroll
          for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
              if (start + n * 8 + lane % 4 * 2 + i >= seen) scores[s][n][half * 2 + i] = -INFINITE;
            }
          }
        }
      }
    }

#pragma unroll
    for (int s = 0; s < STRIPES; s++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float larger = most[s][half];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) larger = fmaxf(larger, fmaxf(scores[s][n][half * 2], scores[s][n][half * 2 + 1]));
        larger = fmaxf(larger, __shfl_xor_sync(0xffffffffu, larger, 1));
        larger = fmaxf(larger, __shfl_xor_sync(0xffffffffu, larger, 2));
        float kept = power((most[s][half] - larger) * to_exp2);
        most[s][half] = larger;
        float offset = larger * to_exp2, sum = 0.f;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
          for (int i = 0; i < 2; i++) {
            float& score = scores[s][n][half * 2 + i];
            score = power(score * to_exp2 - offset);
            sum += score;
          }
        }
        total[s][half] = total[s][half] * kept + sum;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) sums[s][c][half * 2] *= kept, sums[s][c][half * 2 + 1] *= kept;
      }
    }

    const number(*value)[PITCH] = shared.values[block % 2];
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
      unsigned weights[STRIPES][4];
#pragma unroll
      for (int s = 0; s < STRIPES; s++) {
        float *left = scores[s][2 * n], *right = scores[s][2 * n + 1];
        weights[s][0] = narrow2(left[0], left[1]), weights[s][1] = narrow2(left[2], left[3]);
        weights[s][2] = narrow2(right[0], right[1]), weights[s][3] = narrow2(right[2], right[3]);
      }
      const number* row = value[n * 16 + lane % 16];
#pragma unroll
      for (int c = 0; c + 1 < COLUMNS; c += 2) {
        unsigned b[4];
        ldmatrix4_turned(b, row + c * 8 + lane / 16 * 8);
#pragma unroll
        for (int s = 0; s < STRIPES; s++) mma16(sums[s][c], weights[s], b[0], b[1]), mma16(sums[s][c + 1], weights[s], b[2], b[3]);
      }
      if (COLUMNS % 2 == 1) {
        unsigned b[2];
        ldmatrix2_turned(b, row + (COLUMNS - 1) * 8);
#pragma unroll
        for (int s = 0; s < STRIPES; s++) mma16(sums[s][COLUMNS - 1], weights[s], b[0], b[1]);
      }
    }
  }

#pragma unroll
  for (int s = 0; s < STRIPES; s++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = total[s][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      float share = 1.f / sum;
      int number_of = (warp * STRIPES + s) * 16 + half * 8 + lane / 4;
      if (number_of >= tile.queries) continue;
      unsigned* to = (unsigned*)(out + ((long long)(tile.query + number_of) * heads + head) * HEAD) + lane % 4;
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) to[c * 4] = narrow2(sums[s][c][half * 2] * share, sums[s][c][half * 2 + 1] * share);
    }
  }
}

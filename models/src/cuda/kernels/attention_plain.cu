// One query and head a warp: 32 keys at a time, a key a lane. `out` [queries, heads, HEAD].
extern "C" __global__ void attention(const Tile* tiles, Heads q, Heads k, Heads v, number* out, int heads, int group, float scale) {
  __shared__ float query[4][HEAD];
  const Tile tile = tiles[blockIdx.x];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y;
  const float to_exp2 = scale * 1.44269504f;
  for (int n = warp; n < tile.queries; n += 4) {
    long long row = tile.query + n;
    __syncwarp();
    for (int i = lane; i < HEAD; i += 32) query[warp][i] = widen(q.values[row * q.stride + head * HEAD + i]);
    __syncwarp();
    float most = -INFINITE, total = 0.f;
    float sums[(HEAD + 31) / 32] = {};
    for (int part = 0; part < 2; part++) {
      int from = part ? tile.own : tile.shared;
      int seen = part ? min(tile.own_rows, tile.seen + tile.first + n) : tile.shared_rows;
      for (int start = 0; start < seen; start += 32) {
        float score = -INFINITE;
        if (start + lane < seen) {
          const number* key = k.values + (from + start + lane) * k.stride + head / group * HEAD;
          float sum = 0.f;
          for (int i = 0; i < HEAD; i++) sum += query[warp][i] * widen(key[i]);
          score = sum * to_exp2;
        }
        float larger = fmaxf(most, warp_max(score));
        float kept = exp2f(most - larger), weight = exp2f(score - larger);
        total = total * kept + warp_sum(weight);
        most = larger;
#pragma unroll
        for (int i = 0; i < (HEAD + 31) / 32; i++) sums[i] *= kept;
        int count = min(32, seen - start);
        for (int key = 0; key < count; key++) {
          float share = __shfl_sync(0xffffffffu, weight, key);
          const number* value = v.values + (from + start + key) * v.stride + head / group * HEAD;
#pragma unroll
          for (int i = 0; i < (HEAD + 31) / 32; i++) {
            int at = i * 32 + lane;
            if (at < HEAD) sums[i] += share * widen(value[at]);
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < (HEAD + 31) / 32; i++) {
      int at = i * 32 + lane;
      if (at < HEAD) out[(row * heads + head) * HEAD + at] = narrow(sums[i] / total);
    }
  }
}

// Attention over rows that lie one behind the other, without a matrix of scores.

// Some neighbouring queries, and what they see: all rows of `shared`, and of `own` the first `seen + n`, where n counts the span's
// queries, of which these begin with number `first`.
struct Tile {
  int query, queries, first, seen;
  int shared, shared_rows, own, own_rows;
};

// Where a matrix's heads lie: values of row r and head h begin at r * stride + h * HEAD.
struct Heads {
  const number* values;
  long long stride;
};


//! What the query does with the rows of a score node, as far as it decides how many are wanted.

/// The predicate that the rows of a score node meet right above it, and how many are wanted of those that pass.
///
/// A hint: the node may stop when it has given that many rows that pass; the filter above it still decides. `P` is a
/// logical or a physical expression over the node's own output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Sieve<P> {
    /// Which rows pass.
    pub predicate: P,
    /// How many of them are enough, over all partitions.
    pub enough: usize,
}

//! What the query does with the rows of a score node, as far as it decides how many are wanted.

use std::fmt;

/// The predicate that the rows of a score node meet right above it, and how many are wanted of those that pass.
///
/// A hint: the filter above the node still decides. `P` is a logical or a physical expression over the node's own output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Sieve<P> {
    /// Which rows pass.
    pub predicate: P,
    /// How many of them are enough, over all partitions.
    pub enough: usize,
    /// Whether the node may end when it has given as many. If not, further filters follow: it works ahead by as many at
    /// first, and goes on while more are asked for.
    pub ends: bool,
}

impl<P: fmt::Display> fmt::Display for Sieve<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.ends { "enough" } else { "ahead" };
        write!(f, "{word}={} where {}", self.enough, self.predicate)
    }
}

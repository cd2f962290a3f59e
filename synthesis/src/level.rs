//! The four levels of quality.

use std::fmt;

/// How well a text fits its images, from 0 (not at all) to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Captions: wholly unrelated. Documents: damaged text, unrelated images.
    Unrelated,
    /// Captions: remarkable errors. Documents: the same topic, sparse, images poorly placed.
    Poor,
    /// Captions: exactly one property is wrong. Documents: some errors, images that add nothing.
    Flawed,
    /// Captions: faithful and detailed. Documents: comprehensive, images well placed.
    Faithful,
}

impl Level {
    /// All levels, from the best to the worst.
    pub const ALL: [Self; 4] = [Self::Faithful, Self::Flawed, Self::Poor, Self::Unrelated];

    /// The level as the number that models learn.
    pub fn number(self) -> i32 {
        match self {
            Self::Unrelated => 0,
            Self::Poor => 1,
            Self::Flawed => 2,
            Self::Faithful => 3,
        }
    }

    /// The level of a number.
    pub fn of(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.number() == number)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_levels() {
        assert_eq!(Level::ALL.map(Level::number), [3, 2, 1, 0]);
        assert_eq!((0..4).filter_map(Level::of).count(), 4);
        assert_eq!(Level::of(4), None);
    }
}

//! Train, validation and test: images that are nearly the same are never on two sides.

use std::fmt;
use std::str::FromStr;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// What a model learns from.
    Train,
    /// What its training is watched by.
    Validation,
    /// What is looked at once, at the end.
    Test,
}

impl Split {
    /// How it is called in the column `split`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The part of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Train, Self::Validation, Self::Test].into_iter().find(|split| split.name() == name)
    }
}

/// The shares of the three parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    train: f64,
    validation: f64,
}

impl Default for Shares {
    /// Nine tenths to learn from, a twentieth each of the others.
    fn default() -> Self {
        Self { train: 0.9, validation: 0.05 }
    }
}

/// Shares that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no split: expected three shares that sum up to 1, such as 0.9,0.05,0.05")]
pub struct ParseSharesError {
    given: String,
}

impl FromStr for Shares {
    type Err = ParseSharesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shares: Option<Vec<f64>> = text.split(',').map(|share| share.trim().parse().ok()).collect();
        match shares.as_deref() {
            Some([train, validation, test])
                if [train, validation, test].into_iter().all(|share| (0.0..=1.0).contains(share))
                    && (train + validation + test - 1.0).abs() < 1e-6 =>
            {
                Ok(Self { train: *train, validation: *validation })
            }
            _ => Err(ParseSharesError { given: text.into() }),
        }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let test = ((1.0 - self.train - self.validation) * 1e6).round() / 1e6;
        write!(f, "{},{},{}", self.train, self.validation, test.max(0.0))
    }
}

/// The part of each image, by its group: the least content of a group decides, so that neither the order of the rows nor
/// what else the corpus has moves an image.
pub fn splits(contents: &[[u8; 32]], groups: &[usize], shares: Shares, seed: u64) -> Vec<Split> {
    let mut least: Vec<Option<[u8; 32]>> = vec![None; contents.len()];
    for (content, group) in contents.iter().zip(groups) {
        let found = &mut least[*group];
        *found = Some(found.map_or(*content, |found| found.min(*content)));
    }
    let of = |group: &usize| {
        let content = least[*group].unwrap_or_default();
        let hash = blake3::Hasher::new().update(&seed.to_le_bytes()).update(b"split").update(&content).finalize();
        let [a, b, c, d, ..] = *hash.as_bytes();
        let at = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
        match at {
            at if at < shares.train => Split::Train,
            at if at < shares.train + shares.validation => Split::Validation,
            _ => Split::Test,
        }
    };
    groups.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(count: usize) -> Vec<[u8; 32]> {
        (0..count).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect()
    }

    #[test]
    fn shares_are_met_and_groups_kept_together() {
        let contents = contents(4_000);
        let groups: Vec<usize> = (0..4_000).map(|i| i / 2 * 2).collect();
        let splits = splits(&contents, &groups, "0.8,0.1,0.1".parse().unwrap(), 1);
        assert!(splits.chunks(2).all(|pair| pair[0] == pair[1]));
        let of = |split| splits.iter().filter(|found| **found == split).count();
        assert!((3_100..3_300).contains(&of(Split::Train)) && (320..480).contains(&of(Split::Test)));
    }

    #[test]
    fn the_order_of_rows_moves_no_image() {
        let forward = contents(200);
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        let alone: Vec<usize> = (0..200).collect();
        let shares = "0.5,0.25,0.25".parse().unwrap();
        let mut turned = splits(&backward, &alone, shares, 4);
        turned.reverse();
        assert_eq!(splits(&forward, &alone, shares, 4), turned);
    }

    #[test]
    fn shares_sum_up_to_one() {
        assert_eq!("0.9,0.05,0.05".parse::<Shares>().unwrap(), Shares::default());
        assert_eq!("1,0,0".parse::<Shares>().unwrap().to_string(), "1,0,0");
        for bad in ["0.9,0.1", "0.9,0.2,0.1", "a,b,c", "1.5,-0.5,0"] {
            assert!(bad.parse::<Shares>().is_err(), "{bad}");
        }
    }
}

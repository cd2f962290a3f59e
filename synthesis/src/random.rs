//! Random choices that a seed and names decide: the same on every machine, whatever was drawn before elsewhere.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of random numbers.
pub(crate) type Random = ChaCha8Rng;

/// The source that belongs to a seed and to the names of what is drawn.
pub(crate) fn random(seed: u64, names: &[&str]) -> Random {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for name in names {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// True with a probability.
pub(crate) fn chance(random: &mut Random, probability: f64) -> bool {
    random.random_bool(probability.clamp(0.0, 1.0))
}

/// One of a list that is not empty.
pub(crate) fn one<'a, T: ?Sized>(random: &mut Random, of: &[&'a T]) -> &'a T {
    of[random.random_range(0..of.len())]
}

/// One of the items, if there are any.
pub(crate) fn any<'a, T>(random: &mut Random, of: &'a [T]) -> Option<&'a T> {
    of.choose(random)
}

/// One of the items, each as likely as its weight says; `None` where no weight is above zero.
pub(crate) fn weighted<T: Copy>(random: &mut Random, of: &[(T, f64)]) -> Option<T> {
    let sum: f64 = of.iter().map(|(_, weight)| weight).sum();
    if sum <= 0.0 {
        return None;
    }
    let mut left = random.random_range(0.0..sum);
    for (item, weight) in of {
        if left < *weight {
            return Some(*item);
        }
        left -= weight;
    }
    of.iter().rev().find(|(_, weight)| *weight > 0.0).map(|(item, _)| *item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_names_decide() {
        let draw = |seed, names: &[&str]| random(seed, names).random::<u64>();
        assert_eq!(draw(1, &["a", "b"]), draw(1, &["a", "b"]));
        let others = [draw(2, &["a", "b"]), draw(1, &["ab"]), draw(1, &["b", "a"]), draw(1, &["a", "b", ""])];
        assert!(others.iter().all(|other| *other != draw(1, &["a", "b"])));
    }

    #[test]
    fn weights_are_kept_to() {
        let mut source = random(7, &[]);
        let drawn: Vec<_> =
            (0..2_000).filter_map(|_| weighted(&mut source, &[('a', 3.0), ('b', 1.0), ('c', 0.0)])).collect();
        let of = |c| drawn.iter().filter(|d| **d == c).count();
        assert!((1_400..1_600).contains(&of('a')) && of('c') == 0, "{} {}", of('a'), of('b'));
        assert_eq!(weighted::<u8>(&mut source, &[]), None);
    }
}

//! Which images are nearly the same.

use std::collections::HashMap;

/// Images whose perceptual hashes differ in at most this many of 64 bits are taken for one. Another size, format or
/// compression changes 0 to 4 bits, a small crop up to about 8, of which half are found; two unlike pictures differ in 32, and
/// within 6 fall one pair in 10^11. More bits would join more pictures that are merely alike, and joins chain.
pub const NEAR: u32 = 6;

/// The groups of images that are equal or nearly so: for each image the least index in its group.
///
/// Equal contents are one group whatever they look like. Two hashes within `distance` bits agree in at least one of
/// `distance + 1` bands, so only images that share a band are compared. `together` are further pairs of one group.
pub fn groups(
    contents: &[[u8; 32]],
    hashes: &[Option<u64>],
    distance: u32,
    together: impl IntoIterator<Item = (usize, usize)>,
) -> Vec<usize> {
    let mut sets = Sets::new(contents.len());
    for (a, b) in together {
        sets.join(a, b);
    }
    let mut first: HashMap<&[u8; 32], usize> = HashMap::new();
    let mut distinct = vec![];
    for (i, content) in contents.iter().enumerate() {
        match first.get(content) {
            Some(same) => sets.join(*same, i),
            None => {
                first.insert(content, i);
                distinct.extend(hashes.get(i).copied().flatten().map(|hash| (i, hash)));
            }
        }
    }
    let bands = (distance + 1).min(64);
    for band in 0..bands {
        let (from, to) = (band * 64 / bands, (band + 1) * 64 / bands);
        let mask = (u64::MAX >> (64 - (to - from))) << from;
        let mut buckets: HashMap<u64, Vec<(usize, u64)>> = HashMap::new();
        for (i, hash) in &distinct {
            let bucket = buckets.entry(hash & mask).or_default();
            for (other, found) in bucket.iter() {
                if (hash ^ found).count_ones() <= distance {
                    sets.join(*other, *i);
                }
            }
            bucket.push((*i, *hash));
        }
    }
    (0..contents.len()).map(|i| sets.root(i)).collect()
}

/// Disjoint sets, each known by its least member.
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut of: usize) -> usize {
        while self.parents[of] != of {
            self.parents[of] = self.parents[self.parents[of]];
            of = self.parents[of];
        }
        of
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;
    use rand::Rng;

    fn content(n: usize) -> [u8; 32] {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    #[test]
    fn all_pairs_within_the_distance_are_found_as_a_full_comparison_finds_them() {
        let mut source = random(9, &[]);
        let seeds: Vec<u64> = (0..60).map(|_| source.random()).collect();
        let hashes: Vec<Option<u64>> = (0..600)
            .map(|i| {
                let mut hash = seeds[i % 60];
                for _ in 0..source.random_range(0..6) {
                    hash ^= 1 << source.random_range(0..64);
                }
                Some(hash)
            })
            .collect();
        let contents: Vec<_> = (0..600).map(content).collect();
        for distance in [0, 3, 6, 9] {
            let found = groups(&contents, &hashes, distance, []);
            let mut sets = Sets::new(600);
            for i in 0..600 {
                for j in 0..i {
                    if (hashes[i].unwrap() ^ hashes[j].unwrap()).count_ones() <= distance {
                        sets.join(i, j);
                    }
                }
            }
            let expected: Vec<usize> = (0..600).map(|i| sets.root(i)).collect();
            assert_eq!(found, expected, "distance {distance}");
        }
    }

    #[test]
    fn equal_contents_are_one_group_without_a_hash() {
        let contents = [content(1), content(2), content(1), content(3)];
        assert_eq!(groups(&contents, &[None; 4], NEAR, []), [0, 1, 0, 3]);
        assert_eq!(groups(&contents, &[None; 4], NEAR, [(3, 1)]), [0, 1, 0, 1]);
    }
}

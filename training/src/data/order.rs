//! Which samples a step takes.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The order of an epoch's samples, by their numbers; it follows from the seed and the epoch's number alone.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Samples over one image stay together, where they are shuffled at all.
    groups: Vec<Vec<usize>>,
    seed: u64,
    shuffles: bool,
    batch: usize,
}

impl Order {
    /// `images` tells what a sample's first image is.
    pub(crate) fn new(images: impl Iterator<Item = Option<u32>>, batch: usize, shuffles: bool, seed: u64) -> Self {
        let mut groups: Vec<Vec<usize>> = vec![];
        let mut by_image = std::collections::HashMap::new();
        for (number, image) in images.enumerate() {
            match image.and_then(|image| by_image.get(&image).copied()) {
                Some(group) if shuffles => {
                    let group: &mut Vec<usize> = &mut groups[group];
                    group.push(number);
                }
                _ => {
                    if let Some(image) = image {
                        by_image.insert(image, groups.len());
                    }
                    groups.push(vec![number]);
                }
            }
        }
        Self { groups, seed, shuffles, batch: batch.max(1) }
    }

    /// Batches of an epoch.
    pub(crate) fn batches(&self) -> usize {
        self.groups.iter().map(Vec::len).sum::<usize>().div_ceil(self.batch)
    }

    /// The samples of an epoch's batches.
    pub(crate) fn epoch(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut groups: Vec<&Vec<usize>> = self.groups.iter().collect();
        if self.shuffles {
            let mut random =
                ChaCha8Rng::seed_from_u64(self.seed.wrapping_add((epoch as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            groups.shuffle(&mut random);
        }
        let samples: Vec<usize> = groups.into_iter().flatten().copied().collect();
        samples.chunks(self.batch).map(<[usize]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_every_sample_once_and_images_together() {
        let images = || (0..30).map(|i| (i % 7 != 0).then_some(i / 3));
        let order = Order::new(images(), 4, true, 5);
        assert_eq!(order.batches(), 8);
        let samples = |epoch| order.epoch(epoch).concat();
        let mut all = samples(0);
        assert_ne!(all, samples(1));
        assert_eq!(all, Order::new(images(), 4, true, 5).epoch(0).concat());
        assert_ne!(all, Order::new(images(), 4, true, 6).epoch(0).concat());
        let of = |sample: usize| all.iter().position(|s| *s == sample).unwrap();
        assert_eq!(of(4), of(3) + 1);
        assert_eq!(of(5), of(4) + 1);
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
        assert_eq!(Order::new(images(), 4, false, 5).epoch(3).concat(), all);
    }
}

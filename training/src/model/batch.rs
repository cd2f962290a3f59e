//! Samples of a step as rows of one tensor: no padding, and what samples share once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::data::Sample;

/// What a batch's rows are made of, and where each sample ends.
///
/// Samples that begin with the same tokens and the same image share these rows: of a causal model the states of a beginning are
/// the same whatever follows, and so the gradients add up to what rows of their own would give.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The images, each once: numbers of the data's.
    pub(crate) images: Vec<u32>,
    /// Ids of the rows that are tokens.
    pub(crate) tokens: Vec<u32>,
    /// Where each row's embedding is, tokens first and then the images' tokens, image by image.
    pub(crate) order: Vec<u32>,
    /// Each row's position in its sample.
    pub(crate) positions: Vec<u32>,
    /// By group: rows of its beginning, and of its samples' rests.
    pub(crate) groups: Vec<(usize, Vec<usize>)>,
    /// The samples, by their number in what was given, in the rows' order.
    pub(crate) samples: Vec<usize>,
    /// Each sample's last row.
    pub(crate) last: Vec<u32>,
    /// Rows that a token follows, with that token and the number of the sample in what was given.
    pub(crate) next: Vec<(u32, u32, usize)>,
}

/// What a position is: a token, or one of an image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Position {
    Token(u32),
    Image { image: u32, place: u32 },
}

impl Batch {
    /// Of samples whose images become `image_tokens` positions each, cut to `most` positions.
    pub(crate) fn new(samples: &[Arc<Sample>], image_tokens: usize, most: usize) -> Self {
        let mut batch = Self::default();
        let mut by_beginning: HashMap<Vec<Position>, Vec<(usize, Vec<Position>)>> = HashMap::new();
        let mut beginnings = vec![];
        let mut image_numbers = HashMap::new();
        for (number, sample) in samples.iter().enumerate() {
            for image in &sample.images {
                let next = image_numbers.len() as u32;
                image_numbers.entry(*image).or_insert_with(|| {
                    batch.images.push(*image);
                    next
                });
            }
            let mut positions = positions(sample, image_tokens, &image_numbers);
            positions.truncate(most);
            let rest = positions.split_off(beginning(&positions));
            let samples = by_beginning.entry(positions.clone()).or_default();
            if samples.is_empty() {
                beginnings.push(positions);
            }
            samples.push((number, rest));
        }
        for beginning in beginnings {
            let Some(samples) = by_beginning.remove(&beginning) else { continue };
            batch.add(&beginning, samples);
        }
        let tokens = batch.tokens.len() as u32;
        for row in &mut batch.order {
            *row = if *row & IMAGE == 0 { *row } else { (*row & !IMAGE) + tokens };
        }
        batch
    }

    /// Adds a group. Until the number of tokens is known, rows of images are marked.
    fn add(&mut self, beginning: &[Position], samples: Vec<(usize, Vec<Position>)>) {
        self.rows(beginning, 0);
        let before = self.order.len();
        let mut rests = vec![];
        for (number, rest) in samples {
            let start = self.order.len();
            self.rows(&rest, beginning.len());
            let of_rest = rest.iter().enumerate().filter_map(|(place, position)| {
                // What comes before a rest is the beginning's last row, if there is a beginning.
                let before = if place > 0 { start + place } else { before };
                match position {
                    Position::Token(id) if place > 0 || !beginning.is_empty() => Some((before as u32 - 1, *id, number)),
                    _ => None,
                }
            });
            self.next.extend(of_rest);
            let of_beginning = beginning.iter().enumerate().skip(1).filter_map(|(place, position)| match position {
                Position::Token(id) => Some(((before - beginning.len() + place) as u32 - 1, *id, number)),
                Position::Image { .. } => None,
            });
            self.next.extend(of_beginning);
            self.samples.push(number);
            self.last.push(if rest.is_empty() { before } else { self.order.len() } as u32 - 1);
            rests.push(rest.len());
        }
        self.groups.push((beginning.len(), rests));
    }

    fn rows(&mut self, positions: &[Position], first: usize) {
        for (place, position) in positions.iter().enumerate() {
            self.positions.push((first + place) as u32);
            match position {
                Position::Token(id) => {
                    self.order.push(self.tokens.len() as u32);
                    self.tokens.push(*id);
                }
                Position::Image { place, .. } => self.order.push(IMAGE | *place),
            }
        }
    }
}

/// Marks a row of an image.
const IMAGE: u32 = 1 << 31;

fn positions(sample: &Sample, image_tokens: usize, numbers: &HashMap<u32, u32>) -> Vec<Position> {
    let mut images = sample.images.iter();
    let mut positions = vec![];
    for id in &sample.ids {
        match id {
            Some(id) => positions.push(Position::Token(*id)),
            None => {
                let Some(image) = images.next().and_then(|image| numbers.get(image)) else { continue };
                let first = *image * image_tokens as u32;
                positions
                    .extend((first..first + image_tokens as u32).map(|place| Position::Image { image: *image, place }));
            }
        }
    }
    positions
}

/// How many positions can be shared: up to the end of the first image.
fn beginning(positions: &[Position]) -> usize {
    let Some(first) = positions.iter().position(|position| matches!(position, Position::Image { .. })) else {
        return 0;
    };
    let Position::Image { image: of, .. } = positions[first] else { return 0 };
    let is_of = |position: &Position| matches!(position, Position::Image { image, .. } if *image == of);
    first + positions[first..].iter().take_while(|position| is_of(position)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ids: &[i64], images: &[u32]) -> Arc<Sample> {
        let ids = ids.iter().map(|id| u32::try_from(*id).ok()).collect();
        Arc::new(Sample { ids, images: images.to_vec(), label: 0., uid: String::new() })
    }

    #[test]
    fn samples_of_one_image_share_its_rows() {
        let samples = [sample(&[1, -1, 7, 8], &[40]), sample(&[1, -1, 9], &[41]), sample(&[1, -1, 5], &[40])];
        let batch = Batch::new(&samples, 2, 100);
        assert_eq!(batch.images, [40, 41]);
        assert_eq!(batch.groups, [(3, vec![2, 1]), (3, vec![1])]);
        assert_eq!(batch.tokens, [1, 7, 8, 5, 1, 9]);
        assert_eq!(batch.order, [0, 6, 7, 1, 2, 3, 4, 8, 9, 5]);
        assert_eq!(batch.positions, [0, 1, 2, 3, 4, 3, 0, 1, 2, 3]);
        assert_eq!((batch.samples, batch.last), (vec![0, 2, 1], vec![4, 5, 9]));
        assert_eq!(batch.next, [(2, 7, 0), (3, 8, 0), (2, 5, 2), (8, 9, 1)]);
    }

    #[test]
    fn a_document_is_cut_and_keeps_its_order() {
        let samples = [sample(&[1, 2, -1, 3, -1, 4], &[9, 9])];
        let batch = Batch::new(&samples, 2, 6);
        assert_eq!(batch.images, [9]);
        assert_eq!(batch.groups, [(4, vec![2])]);
        assert_eq!(batch.order, [0, 1, 3, 4, 2, 3]);
        assert_eq!(batch.last, [5]);
        assert_eq!(batch.next, [(3, 3, 0), (0, 2, 0)]);
    }

    #[test]
    fn a_text_without_an_image_has_rows_of_its_own() {
        let batch = Batch::new(&[sample(&[1, -1], &[3]), sample(&[1, 2], &[]), sample(&[1, 2], &[])], 2, 9);
        assert_eq!(batch.groups, [(3, vec![0]), (0, vec![2, 2])]);
        assert_eq!((batch.last, batch.next), (vec![2, 4, 6], vec![(3, 2, 1), (5, 2, 2)]));
    }
}

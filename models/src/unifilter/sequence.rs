//! Samples laid one behind the other for the language model: no padding, and a beginning that samples share only once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kernels::Span;
use crate::{ModelError, Prepared, PreparedImage};

/// A position's embedding.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    /// A token's.
    Token(u32),
    /// The image's of this number.
    Image(&'a PreparedImage, usize),
}

/// Rows of all samples, and which of them see which.
#[derive(Debug, Default)]
pub(super) struct Sequences<'a> {
    /// Each with its position in its sample.
    pub(super) rows: Vec<(Row<'a>, usize)>,
    /// All rows: what each sees.
    pub(super) spans: Vec<Span>,
    /// Each sample's last row,
    pub(super) last: Vec<usize>,
    /// and what it sees.
    pub(super) last_spans: Vec<Span>,
}

/// What samples with the same beginning have in common: the ids up to the first image's place, and that image.
type Head<'a> = (&'a [Option<u32>], *const PreparedImage);

impl<'a> Sequences<'a> {
    /// Lays out the samples of a batch, whose images have their embeddings, `tokens` each.
    pub(super) fn of(batch: &'a [Prepared], tokens: usize) -> Result<Self, ModelError> {
        let samples: Vec<Vec<Row<'_>>> = batch.iter().map(|sample| expand(sample, tokens)).collect::<Result<_, _>>()?;
        let mut heads: HashMap<Head<'_>, Vec<usize>> = HashMap::new();
        for (number, sample) in batch.iter().enumerate() {
            if let Some(head) = head(sample) {
                heads.entry(head).or_default().push(number);
            }
        }
        let mut sequences = Self::default();
        let mut shared = vec![0..0; batch.len()];
        for (sample, own) in batch.iter().zip(&samples) {
            let Some(head) = head(sample) else { continue };
            let length = head.0.len() - 1 + tokens;
            // A sample that is cut off within the head, or ends with it, stays by itself.
            let Some(mut members) = heads.remove(&head) else { continue };
            members.retain(|member| samples[*member].len() > length);
            if members.len() > 1 && own.len() >= length {
                let start = sequences.rows.len();
                sequences.rows.extend(own[..length].iter().copied().zip(0..));
                let rows = start..sequences.rows.len();
                members.iter().for_each(|member| shared[*member] = rows.clone());
                sequences.spans.push(Span { queries: rows.clone(), shared: 0..0, own: rows, seen: 1 });
            }
        }
        for (number, (sample, shared)) in samples.iter().zip(shared).enumerate() {
            let start = sequences.rows.len();
            let first = shared.len();
            sequences.rows.extend(sample[first..].iter().copied().zip(first..));
            let own = start..sequences.rows.len();
            sequences.last.push(own.end - 1);
            let span = Span { queries: own.clone(), shared, own: own.clone(), seen: 1 };
            sequences.last_spans.push(Span { queries: number..number + 1, seen: own.len(), ..span.clone() });
            sequences.spans.push(span);
        }
        Ok(sequences)
    }

    /// Positions of the longest sample.
    pub(super) fn longest(&self) -> usize {
        self.rows.iter().map(|(_, position)| position + 1).max().unwrap_or(0)
    }
}

fn head(sample: &Prepared) -> Option<Head<'_>> {
    let end = sample.ids.iter().position(Option::is_none)?;
    Some((&sample.ids[..=end], Arc::as_ptr(sample.images.first()?)))
}

/// A sample's rows, as many as it has positions.
fn expand(sample: &Prepared, tokens: usize) -> Result<Vec<Row<'_>>, ModelError> {
    let mut images = sample.images.iter();
    let mut rows = Vec::with_capacity(sample.positions);
    for id in &sample.ids {
        match id {
            Some(id) => rows.push(Row::Token(*id)),
            None => match images.next() {
                Some(image) if image.embeddings().is_some() => {
                    rows.extend((0..tokens).map(|row| Row::Image(image.as_ref(), row)));
                }
                _ => return Err(ModelError::Sample { reason: "an image token without an image's embeddings".into() }),
            },
        }
    }
    rows.truncate(sample.positions);
    match rows.is_empty() {
        true => Err(ModelError::Sample { reason: "no position".into() }),
        false => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepared::Embeddings;

    const TOKENS: usize = 3;

    fn image() -> Arc<PreparedImage> {
        let image = PreparedImage::new(Vec::new());
        image.set_embeddings(Embeddings::Host(vec![0.; 2 * TOKENS]));
        Arc::new(image)
    }

    fn sample(image: &Arc<PreparedImage>, text: &[u32]) -> Prepared {
        let ids = [Some(1), None].into_iter().chain(text.iter().copied().map(Some)).collect();
        Prepared { images: vec![Arc::clone(image)], ids, positions: 4 + text.len() }
    }

    #[test]
    fn samples_over_one_image_share_its_rows() -> Result<(), ModelError> {
        let (one, other) = (image(), image());
        let batch = [sample(&one, &[7, 8]), sample(&other, &[7]), sample(&one, &[9])];
        let sequences = Sequences::of(&batch, TOKENS)?;
        // The shared head of four, then two, the whole other sample, and one.
        assert_eq!(sequences.rows.len(), 4 + 2 + 5 + 1);
        let positions: Vec<_> = sequences.rows.iter().map(|(_, position)| *position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 4]);
        let span = |queries, shared, own| Span { queries, shared, own, seen: 1 };
        let expected =
            [span(0..4, 0..0, 0..4), span(4..6, 0..4, 4..6), span(6..11, 0..0, 6..11), span(11..12, 0..4, 11..12)];
        assert_eq!(sequences.spans, expected);
        assert_eq!(sequences.last, [5, 10, 11]);
        assert_eq!(sequences.last_spans[0], Span { queries: 0..1, shared: 0..4, own: 4..6, seen: 2 });
        assert_eq!(sequences.longest(), 6);
        Ok(())
    }

    #[test]
    fn a_sample_that_ends_with_the_image_stays_by_itself() -> Result<(), ModelError> {
        let one = image();
        let cut = Prepared { positions: 3, ..sample(&one, &[7]) };
        let batch = [sample(&one, &[]), cut, sample(&one, &[7]), sample(&one, &[8])];
        let sequences = Sequences::of(&batch, TOKENS)?;
        assert_eq!(sequences.rows.len(), 4 + 4 + 3 + 1 + 1);
        assert_eq!(sequences.last_spans[1].own.len(), 3);
        assert!(sequences.last_spans[2].shared == (0..4) && sequences.last_spans[0].shared.is_empty());
        Ok(())
    }

    #[test]
    fn another_beginning_is_not_shared() -> Result<(), ModelError> {
        let one = image();
        let mut other = sample(&one, &[7]);
        other.ids[0] = Some(2);
        let batch = [sample(&one, &[7]), other];
        assert_eq!(Sequences::of(&batch, TOKENS)?.rows.len(), 10);
        Ok(())
    }

    #[test]
    fn an_image_without_embeddings_is_an_error() {
        let batch = [sample(&Arc::new(PreparedImage::new(Vec::new())), &[7])];
        assert!(Sequences::of(&batch, TOKENS).is_err());
    }
}

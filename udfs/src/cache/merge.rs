//! Several segments as one sequence of scores, sorted by key, each key once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::KnownScore;
use super::key::KEY_BYTES;
use super::segment::Segment;

/// Walks segments by key. Of a key that several hold, the newest segment's score counts.
#[derive(Debug)]
pub(super) struct Merged {
    /// The newest first.
    segments: Vec<Arc<Segment>>,
    /// The next row of each segment, the least key first.
    next: BinaryHeap<Reverse<Row>>,
}

/// A key, and the segment and row that hold it.
type Row = ([u8; KEY_BYTES], usize, usize);

impl Merged {
    pub(super) fn new(mut segments: Vec<Arc<Segment>>) -> Self {
        segments.sort_by_key(|segment| Reverse(segment.name.clone()));
        let mut merged = Self { next: BinaryHeap::with_capacity(segments.len()), segments };
        for segment in 0..merged.segments.len() {
            merged.push(segment, 0);
        }
        merged
    }

    fn push(&mut self, segment: usize, row: usize) {
        if let Some(key) = self.segments[segment].keys().get(row) {
            self.next.push(Reverse((*key, segment, row)));
        }
    }
}

impl Iterator for Merged {
    type Item = ([u8; KEY_BYTES], KnownScore);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((key, segment, row)) = self.next.pop()?;
            self.push(segment, row + 1);
            while let Some(Reverse((same, older, row))) = self.next.peek().copied()
                && same == key
            {
                self.next.pop();
                self.push(older, row + 1);
            }
            // A row that holds neither score nor error says nothing.
            if let Some(known) = self.segments[segment].at(row) {
                return Some((key, known));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ScoreKey;
    use super::super::name::SegmentName;
    use super::super::segment::encode;
    use super::*;

    fn segment(created: u64, scores: &[(u8, f32)]) -> Arc<Segment> {
        let scores = scores.iter().map(|(n, s)| (ScoreKey::from_bytes([*n; KEY_BYTES]), KnownScore::Score(*s)));
        let content = encode(scores.collect()).unwrap();
        let name = SegmentName::new(created, &content);
        Arc::new(Segment::open(name, &content.into()).unwrap())
    }

    #[test]
    fn every_key_comes_once_in_order_with_its_newest_score() {
        let old = segment(1, &[(9, 0.9), (1, 0.1), (4, 0.4)]);
        let new = segment(2, &[(4, 4.4), (2, 2.2)]);
        let empty = segment(3, &[]);
        for segments in [vec![old.clone(), new.clone(), empty.clone()], vec![empty, new, old]] {
            let merged: Vec<_> = Merged::new(segments).map(|(key, known)| (key[0], known)).collect();
            let expected = [(1, 0.1), (2, 2.2), (4, 4.4), (9, 0.9)].map(|(n, s)| (n, KnownScore::Score(s)));
            assert_eq!(merged, expected);
        }
    }
}

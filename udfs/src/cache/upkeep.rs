//! Keeping a cache small: which segments to merge, which to give up.

use super::name::SegmentName;
use super::place::Listed;

/// With more segments than this, the small ones of a model are merged.
const MOST: usize = 16;

/// At least so many segments are left after a merge has been decided on.
const LEAST: usize = 8;

/// A merge happens in memory: no segment becomes larger, whatever the cache's bound.
const LARGEST: u64 = 1 << 30;

/// The segments of a model that are to become one; none if there is no need.
///
/// The smallest ones, and then, as long as it is no larger than all the smaller ones together, the next: a score is
/// written anew only when its segment at least doubles, so about log2(n / 65,536) times. `max_bytes` is the cache's bound: a
/// segment of an eighth of it is large enough, since it is evicted as one.
pub(super) fn to_merge(sizes: &[(SegmentName, u64)], max_bytes: u64) -> Vec<SegmentName> {
    if sizes.len() <= MOST {
        return Vec::new();
    }
    let largest = (max_bytes / 8).min(LARGEST);
    let mut sizes: Vec<_> = sizes.iter().collect();
    sizes.sort_by_key(|(_, bytes)| *bytes);
    let mut total = 0;
    let mut chosen = Vec::new();
    for (name, bytes) in sizes.iter().copied() {
        let is_needed = sizes.len() - chosen.len() >= LEAST;
        if total + bytes > largest || !(is_needed || *bytes <= total) {
            break;
        }
        total += bytes;
        chosen.push(name.clone());
    }
    if chosen.len() > 1 { chosen } else { Vec::new() }
}

/// The segments to give up so that all together take `max_bytes` at most: the oldest.
pub(super) fn to_evict(mut segments: Vec<Listed>, max_bytes: u64) -> Vec<Listed> {
    let mut total: u64 = segments.iter().map(|segment| segment.bytes).sum();
    segments.sort_by(|a, b| (&a.name, &a.model).cmp(&(&b.name, &b.model)));
    segments.retain(|segment| {
        let is_evicted = total > max_bytes;
        if is_evicted {
            total -= segment.bytes;
        }
        is_evicted
    });
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sizes: &[u64]) -> Vec<(SegmentName, u64)> {
        sizes.iter().enumerate().map(|(n, bytes)| (SegmentName::new(n as u64, &n.to_le_bytes()), *bytes)).collect()
    }

    fn merged(all: &[u64], max_bytes: u64) -> Vec<u64> {
        let chosen = to_merge(&sizes(all), max_bytes);
        let mut chosen: Vec<u64> = chosen.iter().map(|name| all[name.created as usize]).collect();
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn few_segments_stay_as_they_are() {
        assert!(merged(&[1; 16], 1 << 30).is_empty());
    }

    #[test]
    fn small_ones_become_one_and_a_large_one_is_left_alone() {
        let mut all = vec![1_000; 17];
        all[3] = 1_000_000;
        assert_eq!(merged(&all, 1 << 30), [1_000; 16]);
    }

    #[test]
    fn no_segment_grows_beyond_an_eighth_of_the_bound() {
        assert_eq!(merged(&[1_000; 20], 8 * 5_500), [1_000; 5]);
        assert!(merged(&[1_000; 20], 8 * 1_500).is_empty());
    }

    /// A million writes of one size: how many segments there are at most, and how often a score is written.
    #[test]
    fn merging_keeps_segments_few_and_rewrites_little() {
        let mut segments: Vec<(SegmentName, u64)> = Vec::new();
        let (mut rewritten, mut written) = (0, 0);
        for n in 0..20_000_u64 {
            segments.push((SegmentName::new(n, &n.to_le_bytes()), 1));
            written += 1;
            let chosen = to_merge(&segments, u64::MAX);
            if !chosen.is_empty() {
                let total = segments.iter().filter(|(name, _)| chosen.contains(name)).map(|(_, b)| b).sum();
                rewritten += total;
                segments.retain(|(name, _)| !chosen.contains(name));
                segments.push((SegmentName::new(n, &[b"merged".as_slice(), &n.to_le_bytes()].concat()), total));
            }
            assert!(segments.len() <= MOST, "{} segments", segments.len());
        }
        assert!(rewritten < 8 * written, "{rewritten} rewritten of {written}");
    }

    #[test]
    fn the_oldest_of_all_models_go_first() {
        let listed = |created, model: &str, bytes| Listed {
            model: model.into(),
            name: SegmentName::new(created, model.as_bytes()),
            bytes,
        };
        let all = vec![listed(3, "a", 10), listed(1, "b", 10), listed(2, "a", 10)];
        assert_eq!(to_evict(all.clone(), 30), []);
        assert_eq!(to_evict(all.clone(), 29), [all[1].clone()]);
        assert_eq!(to_evict(all.clone(), 10), [all[1].clone(), all[2].clone()]);
        assert_eq!(to_evict(all, 0).len(), 3);
    }
}

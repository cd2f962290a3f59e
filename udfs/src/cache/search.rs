//! Finding a key among sorted ones whose values are spread evenly, as hashes are.

use std::cmp::Ordering;

use super::key::KEY_BYTES;

type Key = [u8; KEY_BYTES];

/// So many guesses by value; whatever is left then is halved, so that keys that are not spread evenly cost no more than
/// a binary search.
const GUESSES: usize = 4;

/// A key that is expected so near is walked to: neighbours share cache lines.
const NEAR: usize = 8;

/// The longest walk: the way is uneven, or the keys are.
const WALK: usize = 64;

/// The place of a key, if it is there.
///
/// A guess by the key's value misses by about the square root of the number of keys; one from there by the root of that
/// distance, and so on. Three or four reads of memory find a key among millions, where halving takes twenty.
pub(super) fn find(keys: &[Key], key: &Key) -> Option<usize> {
    let wanted = value(key);
    // The key lies in low..high if it is there.
    let (mut low, mut high) = (0, keys.len());
    let mut place = distance(wanted, keys.len());
    for _ in 0..GUESSES {
        if low == high {
            return None;
        }
        place = place.clamp(low, high - 1);
        let found = &keys[place];
        let there = value(found);
        let step = distance(wanted.abs_diff(there), keys.len());
        match found.cmp(key) {
            Ordering::Equal => return Some(place),
            Ordering::Less if step <= NEAR => return up(keys, key, place + 1, high),
            Ordering::Less => (low, place) = (place + 1, place.saturating_add(step)),
            Ordering::Greater if step <= NEAR => return down(keys, key, low, place),
            Ordering::Greater => (high, place) = (place, place.saturating_sub(step)),
        }
    }
    halve(keys, key, low, high)
}

/// How many keys lie within a difference in value, if they are spread evenly.
fn distance(difference: u64, keys: usize) -> usize {
    ((u128::from(difference) * keys as u128) >> u64::BITS) as usize
}

/// Looks for a key in low..high from below.
fn up(keys: &[Key], key: &Key, low: usize, high: usize) -> Option<usize> {
    let end = high.min(low + WALK);
    match (low..end).find(|place| keys[*place] >= *key) {
        Some(place) => (keys[place] == *key).then_some(place),
        None => halve(keys, key, end, high),
    }
}

/// Looks for a key in low..high from above.
fn down(keys: &[Key], key: &Key, low: usize, high: usize) -> Option<usize> {
    let end = low.max(high.saturating_sub(WALK));
    match (end..high).rev().find(|place| keys[*place] <= *key) {
        Some(place) => (keys[place] == *key).then_some(place),
        None => halve(keys, key, low, end),
    }
}

fn halve(keys: &[Key], key: &Key, low: usize, high: usize) -> Option<usize> {
    keys[low..high].binary_search(key).ok().map(|place| low + place)
}

/// Whether every key is greater than the one before.
pub(super) fn is_sorted(keys: &[Key]) -> bool {
    keys.is_sorted_by(|a, b| a < b)
}

fn value(key: &Key) -> u64 {
    let (high, _) = key.split_at(size_of::<u64>());
    high.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(n: u64) -> Key {
        let mut key = Key::default();
        blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut key);
        key
    }

    /// Every key is found at its place, and its neighbours in value are not.
    fn check(mut keys: Vec<Key>) {
        keys.sort_unstable();
        keys.dedup();
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(find(&keys, key), Some(place));
            for near in [u128::from_be_bytes(*key).wrapping_add(1), u128::from_be_bytes(*key).wrapping_sub(1)] {
                let near = near.to_be_bytes();
                assert_eq!(find(&keys, &near), keys.binary_search(&near).ok());
            }
        }
        for n in 0..1_000 {
            let absent = hashed(n + (1 << 40));
            assert_eq!(find(&keys, &absent), keys.binary_search(&absent).ok());
        }
        for edge in [[0; KEY_BYTES], [0xff; KEY_BYTES]] {
            assert_eq!(find(&keys, &edge), keys.binary_search(&edge).ok());
        }
    }

    #[test]
    fn keys_that_are_spread_evenly_are_found() {
        for n in [0, 1, 2, 7, 8, 9, 10, 100, 1_000, 20_000] {
            check((0..n).map(hashed).collect());
        }
    }

    #[test]
    fn keys_that_are_not_are_found_too() {
        check((0..5_000_u128).map(u128::to_be_bytes).collect());
        check((0..5_000_u128).map(|n| (u128::MAX - n * n).to_be_bytes()).collect());
        check((0..128_u32).map(|n| (1_u128 << n).to_be_bytes()).chain((0..3_000).map(hashed)).collect());
        check(vec![[0; KEY_BYTES], [0xff; KEY_BYTES]]);
    }
}

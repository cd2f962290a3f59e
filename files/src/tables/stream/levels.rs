//! Definition and repetition levels and dictionary indices: Parquet's hybrid of runs and bit-packed groups.

use std::io;

/// The bits that levels up to `max` take.
pub(super) fn bit_width(max: i16) -> u8 {
    (i16::BITS - max.max(0).leading_zeros()) as u8
}

/// Decodes `count` numbers of `width` bits.
pub(super) fn decode(mut bytes: &[u8], width: u8, count: usize) -> io::Result<Vec<u32>> {
    if width > 32 {
        return Err(damaged());
    }
    let mut values = Vec::with_capacity(count.min(1 << 20));
    while values.len() < count {
        let head = varint(&mut bytes)?;
        let left = count - values.len();
        if head & 1 == 0 {
            let size = usize::from(width).div_ceil(8);
            let (value, rest) = bytes.split_at_checked(size).ok_or_else(damaged)?;
            bytes = rest;
            let value = value.iter().rev().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
            let run = usize::try_from(head >> 1).map_err(|_| damaged())?;
            if run == 0 {
                return Err(damaged());
            }
            values.extend(std::iter::repeat_n(value, run.min(left)));
        } else {
            let numbers =
                usize::try_from(head >> 1).ok().and_then(|groups| groups.checked_mul(8)).ok_or_else(damaged)?;
            // The last group may be cut short at the page's end.
            let wanted = numbers.min(left);
            let size = (wanted * usize::from(width)).div_ceil(8);
            unpack(bytes.get(..size).ok_or_else(damaged)?, width, wanted, &mut values);
            bytes = &bytes[(numbers / 8).saturating_mul(usize::from(width)).min(bytes.len())..];
        }
    }
    Ok(values)
}

/// Encodes levels as one bit-packed run.
pub(super) fn encode(levels: &[u32], width: u8) -> Vec<u8> {
    let groups = levels.len().div_ceil(8);
    let mut bytes = vec![];
    let mut head = (groups as u64) << 1 | 1;
    while head >= 128 {
        bytes.push(head as u8 | 128);
        head >>= 7;
    }
    bytes.push(head as u8);
    let start = bytes.len();
    bytes.resize(start + groups * usize::from(width), 0);
    for (index, &level) in levels.iter().enumerate() {
        for bit in 0..usize::from(width) {
            let at = index * usize::from(width) + bit;
            bytes[start + at / 8] |= ((level >> bit & 1) as u8) << (at % 8);
        }
    }
    bytes
}

fn unpack(bytes: &[u8], width: u8, count: usize, values: &mut Vec<u32>) {
    let width = usize::from(width);
    for index in 0..count {
        let mut value = 0u32;
        for bit in 0..width {
            let at = index * width + bit;
            value |= u32::from(bytes[at / 8] >> (at % 8) & 1) << bit;
        }
        values.push(value);
    }
}

fn varint(bytes: &mut &[u8]) -> io::Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "page: levels or indices are damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes() {
        for (width, count) in [(1, 0), (1, 1), (1, 9), (2, 1000), (3, 17)] {
            let levels: Vec<u32> = (0..count).map(|i| (i * 7 % (1 << width)) as u32).collect();
            assert_eq!(decode(&encode(&levels, width), width, levels.len()).unwrap(), levels);
        }
    }

    #[test]
    fn runs_and_groups_mixed() {
        // A run of 5 times 3, then one group 0..8 of 3 bits (the example of Parquet's specification).
        let bytes = [10, 3, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(decode(&bytes, 3, 13).unwrap(), [3, 3, 3, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(decode(&[4, 1], 1, 2).unwrap(), [1, 1]);
        assert_eq!(decode(&[4], 0, 2).unwrap(), [0, 0]);
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [&[][..], &[3], &[0, 1], &[4], &[255; 20]] {
            assert!(decode(bytes, 8, 4).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn widths() {
        assert_eq!([0, 1, 2, 3, 4].map(bit_width), [0, 1, 2, 2, 3]);
    }
}

//! A large page of byte strings, cut into small ones.

use std::collections::HashMap;
use std::io::{self, Read};

use datafusion::parquet::basic::Encoding;
use datafusion::parquet::column::page::Page;

use super::levels;
use super::selection::Selected;

/// The levels of a run of values, and how they are encoded.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub(super) definition: Vec<u32>,
    pub(super) repetition: Vec<u32>,
    /// 0 if the column has no NULL.
    pub(super) max_definition: i16,
    /// 0 if the column holds no list.
    pub(super) max_repetition: i16,
    /// Values, NULLs included.
    pub(super) count: usize,
}

impl Levels {
    /// Adds the levels of the next page.
    pub(super) fn append(&mut self, mut other: Self) {
        self.definition.append(&mut other.definition);
        self.repetition.append(&mut other.repetition);
        self.count += other.count;
    }

    pub(super) fn is_value(&self, index: usize) -> bool {
        self.definition.get(index).is_none_or(|&level| level == self.max_definition as u32)
    }

    /// How many of the values are not NULL.
    pub(super) fn values(&self) -> usize {
        (0..self.count).filter(|&index| self.is_value(index)).count()
    }

    fn starts_row(&self, index: usize) -> bool {
        self.repetition.get(index).is_none_or(|&level| level == 0)
    }

    /// How many rows begin here.
    pub(super) fn rows(&self) -> usize {
        (0..self.count).filter(|&index| self.starts_row(index)).count()
    }
}

/// The rows that are wanted of a run of values, and the row that the run begins with.
#[derive(Debug, Clone)]
pub(super) struct WantedRows {
    pub(super) selected: Selected,
    pub(super) first: usize,
}

impl WantedRows {
    /// Of each value of `levels`, whether its row is wanted.
    pub(super) fn of_values(&self, levels: &Levels) -> Vec<bool> {
        let mut next = self.first;
        let mut wanted = false;
        let of_value = |index| {
            if levels.starts_row(index) {
                wanted = self.selected.contains(next);
                next += 1;
            }
            wanted
        };
        (0..levels.count).map(of_value).collect()
    }
}

/// Gives a column's values one after the other.
pub(super) trait Values: Send {
    /// Appends the next value as PLAIN encodes it: its length and its bytes.
    fn append_next(&mut self, out: &mut Vec<u8>) -> io::Result<()>;

    /// Passes over the next value.
    fn skip_next(&mut self) -> io::Result<()>;
}

/// An empty string as PLAIN encodes it.
pub(super) const EMPTY: [u8; 4] = [0; 4];

/// Small PLAIN pages of a run of values.
pub(super) struct Parts {
    levels: Levels,
    at: usize,
    values: Box<dyn Values>,
    /// A page ends when its values reach this size.
    size: usize,
    /// Of each value, whether its row is wanted; `None` if all are. The others are given as empty strings.
    wanted: Option<Vec<bool>>,
    /// Behind the last value that is wanted: from here on nothing is read.
    last: usize,
}

impl Parts {
    pub(super) fn new(levels: Levels, values: Box<dyn Values>, size: usize, wanted: Option<Vec<bool>>) -> Self {
        let last = match &wanted {
            Some(wanted) => wanted.iter().rposition(|wanted| *wanted).map_or(0, |last| last + 1),
            None => levels.count,
        };
        Self { levels, at: 0, values, size, wanted, last }
    }

    /// Whether all values were given.
    pub(super) fn is_done(&self) -> bool {
        self.at == self.levels.count
    }

    pub(super) fn next_page(&mut self) -> io::Result<Option<Page>> {
        let start = self.at;
        let mut values = vec![];
        while self.at < self.levels.count && values.len() < self.size {
            if self.levels.is_value(self.at) {
                if self.wanted.as_ref().is_none_or(|wanted| wanted[self.at]) {
                    self.values.append_next(&mut values)?;
                } else {
                    if self.at < self.last {
                        self.values.skip_next()?;
                    }
                    values.extend(EMPTY);
                }
            }
            self.at += 1;
        }
        if self.at == start {
            return Ok(None);
        }
        let mut body = vec![];
        for (levels, max) in [
            (&self.levels.repetition, self.levels.max_repetition),
            (&self.levels.definition, self.levels.max_definition),
        ] {
            if max > 0 {
                let encoded = levels::encode(&levels[start..self.at], levels::bit_width(max));
                body.extend((encoded.len() as u32).to_le_bytes());
                body.extend(encoded);
            }
        }
        if body.is_empty() {
            body = values
        } else {
            body.append(&mut values)
        }
        Ok(Some(Page::DataPage {
            buf: body.into(),
            num_values: (self.at - start) as u32,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }))
    }
}

/// Values as they stand in a PLAIN page.
pub(super) struct PlainValues<R>(pub(super) R);

impl<R: Read + Send> Values for PlainValues<R> {
    fn append_next(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        copy_value(&mut self.0, out)
    }

    fn skip_next(&mut self) -> io::Result<()> {
        skip_value(&mut self.0)
    }
}

/// Values that stand in a dictionary, which is read once from front to end.
///
/// Writers number the entries as they meet them, so the next new value of a column is the next entry of its dictionary.
/// An entry is kept only while a later row refers to it.
pub(super) struct DictionaryValues<R> {
    dictionary: R,
    next_entry: u32,
    indices: Vec<u32>,
    at: usize,
    /// For each entry, the last position in `indices` that refers to it.
    last_use: Vec<u32>,
    kept: HashMap<u32, Vec<u8>>,
}

/// No row refers to the entry; as an index, nobody wants the row.
pub(super) const UNUSED: u32 = u32::MAX;

impl<R: Read + Send> DictionaryValues<R> {
    /// `entries` is the dictionary's size.
    pub(super) fn try_new(dictionary: R, entries: u32, indices: Vec<u32>) -> io::Result<Self> {
        let used = || indices.iter().copied().filter(|&index| index != UNUSED);
        let largest = used().max().unwrap_or(0);
        if largest >= entries && used().next().is_some() {
            let message = format!("page: entry {largest} of a dictionary of {entries}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut last_use = vec![UNUSED; largest as usize + 1];
        for (position, &index) in indices.iter().enumerate().filter(|(_, index)| **index != UNUSED) {
            last_use[index as usize] = position as u32;
        }
        Ok(Self { dictionary, next_entry: 0, indices, at: 0, last_use, kept: HashMap::new() })
    }

    fn is_used_after(&self, entry: u32, position: usize) -> bool {
        let last = self.last_use[entry as usize];
        last != UNUSED && last as usize > position
    }
}

impl<R: Read + Send> Values for DictionaryValues<R> {
    fn append_next(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let position = self.at;
        let Some(&index) = self.indices.get(position) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "page: fewer indices than values"));
        };
        self.at += 1;
        if index == UNUSED {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "page: a value that nobody wants was asked for"));
        }
        while self.next_entry < index {
            if self.is_used_after(self.next_entry, position) {
                let mut value = vec![];
                copy_value(&mut self.dictionary, &mut value)?;
                self.kept.insert(self.next_entry, value);
            } else {
                skip_value(&mut self.dictionary)?;
            }
            self.next_entry += 1;
        }
        if self.next_entry == index {
            let start = out.len();
            copy_value(&mut self.dictionary, out)?;
            self.next_entry += 1;
            if self.is_used_after(index, position) {
                self.kept.insert(index, out[start..].to_vec());
            }
        } else if self.is_used_after(index, position) {
            out.extend(&self.kept[&index]);
        } else if let Some(value) = self.kept.remove(&index) {
            out.extend(value);
        }
        Ok(())
    }

    /// Entries are read when a row wants them.
    fn skip_next(&mut self) -> io::Result<()> {
        self.at += 1;
        Ok(())
    }
}

fn copy_value(reader: &mut impl Read, out: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    out.extend(length);
    let length = u64::from(u32::from_le_bytes(length));
    // A damaged length allocates no more than there is to read.
    let copied = reader.by_ref().take(length).read_to_end(out)? as u64;
    if copied < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn skip_value(reader: &mut impl Read) -> io::Result<()> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let skipped = io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(values: &[&str]) -> Vec<u8> {
        values.iter().flat_map(|v| [&(v.len() as u32).to_le_bytes()[..], v.as_bytes()].concat()).collect()
    }

    fn looked_up(entries: &[&str], indices: &[u32]) -> (Vec<u8>, usize) {
        let dictionary = plain(entries);
        let mut values = DictionaryValues::try_new(&dictionary[..], entries.len() as u32, indices.to_vec()).unwrap();
        let (mut out, mut most) = (vec![], 0);
        for _ in indices {
            values.append_next(&mut out).unwrap();
            most = most.max(values.kept.len());
        }
        assert!(values.kept.is_empty(), "entries were kept beyond their last use");
        (out, most)
    }

    #[test]
    fn entries_in_order_are_never_kept() {
        let (out, most) = looked_up(&["a", "bb", "ccc"], &[0, 1, 2]);
        assert_eq!((out, most), (plain(&["a", "bb", "ccc"]), 0));
    }

    #[test]
    fn entries_are_kept_while_they_are_needed() {
        let (out, most) = looked_up(&["a", "bb", "ccc", "unused"], &[2, 0, 0, 2, 0]);
        assert_eq!((out, most), (plain(&["ccc", "a", "a", "ccc", "a"]), 2));
    }

    #[test]
    fn an_index_beyond_the_dictionary_is_an_error() {
        assert!(DictionaryValues::try_new(&b""[..], 2, vec![0, 2]).is_err());
    }

    #[test]
    fn parts_hold_their_levels() {
        let bytes = plain(&["first", "b", "c"]);
        let levels = Levels {
            definition: vec![1, 0, 1, 1, 0],
            repetition: vec![],
            max_definition: 1,
            max_repetition: 0,
            count: 5,
        };
        assert_eq!(levels.values(), 3);
        let mut parts = Parts::new(levels, Box::new(PlainValues(io::Cursor::new(bytes))), 14, None);
        let counts: Vec<u32> =
            std::iter::from_fn(|| parts.next_page().unwrap()).map(|page| page.num_values()).collect();
        assert_eq!(counts, [3, 2]);
        assert!(parts.is_done());
    }

    #[test]
    fn rows_that_nobody_wants_are_empty_and_the_last_are_not_read() {
        // Of two lists and one: the second is wanted. The third value is damaged, and nobody reads it.
        let bytes = [plain(&["first", "second"]), vec![255; 4]].concat();
        let levels = Levels {
            definition: vec![1, 1, 1],
            repetition: vec![0, 0, 1],
            max_definition: 1,
            max_repetition: 1,
            count: 3,
        };
        assert_eq!(levels.rows(), 2);
        let rows = WantedRows { selected: Selected::numbers([7], 9), first: 6 };
        assert_eq!(rows.of_values(&levels), [false, true, true]);
        let rows = WantedRows { selected: Selected::numbers([6], 9), first: 5 };
        let levels = Levels { repetition: vec![0, 0, 0], ..levels };
        let wanted = rows.of_values(&levels);
        let mut parts = Parts::new(levels, Box::new(PlainValues(io::Cursor::new(bytes))), 100, Some(wanted));
        let page = parts.next_page().unwrap().unwrap();
        let expected = plain(&["", "second", ""]);
        assert!(page.buffer().ends_with(&expected) && parts.is_done());
    }

    #[test]
    fn entries_of_unwanted_rows_are_not_needed() {
        let dictionary = plain(&["a", "bb"]);
        let mut values = DictionaryValues::try_new(&dictionary[..], 3, vec![UNUSED, 1, UNUSED]).unwrap();
        let mut out = vec![];
        values.skip_next().unwrap();
        values.append_next(&mut out).unwrap();
        values.skip_next().unwrap();
        assert_eq!((out, values.kept.len()), (plain(&["bb"]), 0));
    }

    #[test]
    fn a_value_that_is_cut_short_is_an_error() {
        assert!(copy_value(&mut &[255, 255, 255, 255, 1][..], &mut vec![]).is_err());
    }
}

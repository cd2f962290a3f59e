//! Where the records of a text end, and the text in blocks of whole records.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memchr_iter, memchr2, memrchr, memrchr2};

use super::error::TextError;
use super::pool::Pool;

/// A record may be this large, with the images that are in it.
pub(super) const MOST_BYTES: usize = 1 << 30;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// A line break.
    Lines,
    /// A line break outside quotes.
    Quoted(Quotes),
    /// The end of a JSON value, whatever its lines. In an array the text's commas and brackets between values are blanked.
    Values { in_array: bool },
}

/// How values are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quotes {
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) delimiter: u8,
    /// The line break.
    pub(super) terminator: u8,
    /// Whether what follows a closing quote must be the end of the value.
    pub(super) is_strict: bool,
}

/// What a look at a text, from the beginning of a record, tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    /// Where the last record that ends in the text ends.
    pub(super) end: Option<usize>,
    /// Where what is not closed at the end of the text begins.
    pub(super) open: Option<usize>,
    /// Where a strict text is not as it must be.
    pub(super) wrong: Option<usize>,
}

impl Ends {
    /// Looks at a text that begins with a record.
    pub(super) fn look(&self, text: &mut [u8]) -> Looked {
        match self {
            Self::Lines => Looked { end: memrchr(b'\n', text).map(|end| end + 1), ..Looked::default() },
            Self::Quoted(quotes) => quotes.look(text),
            Self::Values { in_array } => look_at_values(text, *in_array),
        }
    }

    /// The records of a block.
    pub(super) fn split(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut records = vec![];
        let mut start = 0;
        while start < text.len() {
            let end = self.first_end(&text[start..]).map_or(text.len(), |end| start + end);
            records.push(start..end);
            start = end;
        }
        records
    }

    fn first_end(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Lines => memchr(b'\n', text).map(|end| end + 1),
            Self::Quoted(quotes) => quotes.first_end(text),
            Self::Values { .. } => {
                let ends = memchr_iter(b'}', text).map(|end| end + 1);
                ends.into_iter().find(|end| look_at_values(&mut text[..*end].to_vec(), false).end == Some(*end))
            }
        }
    }
}

impl Quotes {
    fn look(&self, text: &[u8]) -> Looked {
        let mut looked = Looked::default();
        // What is outside quotes, the last of it last.
        let mut outside = vec![];
        let (mut start, mut from) = (0, 0);
        while let Some(quote) = memchr(self.quote, &text[from..]).map(|place| from + place) {
            if !self.opens(text, quote) {
                from = quote + 1;
                continue;
            }
            outside.push(start..quote);
            let Some(closing) = self.closing(text, quote + 1) else {
                looked.open = Some(quote);
                break;
            };
            (start, from) = (closing + 1, closing + 1);
            let follows = text.get(from).is_none_or(|next| self.ends_value(*next));
            if self.is_strict && !follows && looked.wrong.is_none() {
                looked.wrong = Some(closing);
            }
        }
        if looked.open.is_none() {
            outside.push(start..text.len());
        }
        looked.end = outside
            .into_iter()
            .rev()
            .find_map(|range| memrchr(self.terminator, &text[range.clone()]).map(|place| range.start + place + 1));
        looked
    }

    /// Whether a quote is the first character of a value; within one it is a character like others.
    fn opens(&self, text: &[u8], quote: usize) -> bool {
        quote.checked_sub(1).is_none_or(|before| self.ends_value(text[before]))
    }

    fn ends_value(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == self.terminator || byte == b'\r'
    }

    /// Where the quoted value closes whose first character is at `from`.
    fn closing(&self, text: &[u8], mut from: usize) -> Option<usize> {
        loop {
            let place = match self.escape {
                Some(escape) => from + memchr2(self.quote, escape, &text[from..])?,
                None => from + memchr(self.quote, &text[from..])?,
            };
            match text[place] == self.quote {
                true if text.get(place + 1) == Some(&self.quote) => from = place + 2,
                true => return Some(place),
                // What the escape character stands before is no quote.
                false => from = (place + 2).min(text.len()),
            }
        }
    }

    fn first_end(&self, text: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let place = from + memchr2(self.terminator, self.quote, &text[from..])?;
            match text[place] == self.terminator {
                true => return Some(place + 1),
                false if self.opens(text, place) => from = self.closing(text, place + 1)? + 1,
                false => from = place + 1,
            }
        }
    }
}

/// Looks at JSON values, one after the other, and blanks what is between those of an array.
fn look_at_values(text: &mut [u8], in_array: bool) -> Looked {
    let mut looked = Looked::default();
    let (mut depth, mut place, mut start) = (0_usize, 0, 0);
    while place < text.len() {
        match text[place] {
            b'"' => {
                let mut from = place + 1;
                let closing = loop {
                    match memchr2(b'"', b'\\', &text[from..]).map(|at| from + at) {
                        Some(at) if text[at] == b'"' => break Some(at),
                        Some(at) => from = (at + 2).min(text.len()),
                        None => break None,
                    }
                };
                let Some(closing) = closing else { break };
                place = closing;
            }
            b'{' | b'[' => {
                if depth == 0 {
                    start = place;
                }
                depth += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    looked.end = Some(place + 1);
                }
            }
            b',' | b']' if depth == 0 && in_array => text[place] = b' ',
            _ => {}
        }
        place += 1;
    }
    looked.open = (depth > 0 || place < text.len()).then_some(start);
    looked
}

/// Some records of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) text: Vec<u8>,
    /// The number of its first line, counted from 1.
    pub(super) first_line: u64,
    pub(super) is_first: bool,
}

/// Cuts a text into blocks.
pub(super) struct Blocks<R> {
    reader: R,
    size: usize,
    /// Texts of blocks that have been decoded.
    used: Arc<Pool<Vec<u8>>>,
    /// What was read and is in no block yet, and behind it memory that is there already.
    text: Vec<u8>,
    /// How much was read.
    there: usize,
    is_at_end: bool,
    lines: u64,
    is_first: bool,
}

impl<R: Read> Blocks<R> {
    /// Cuts what `reader` gives into blocks of about `size` bytes.
    pub(super) fn new(reader: R, size: usize) -> Self {
        Self { reader, size, used: Arc::default(), text: vec![], there: 0, is_at_end: false, lines: 0, is_first: true }
    }

    /// Where texts of blocks are given back.
    pub(super) fn used(&self) -> Arc<Pool<Vec<u8>>> {
        Arc::clone(&self.used)
    }

    /// The beginning of the text, without a byte order mark: as much as a block has, and whether that is all.
    pub(super) fn beginning(&mut self) -> Result<(&mut [u8], bool), TextError> {
        if self.is_first && self.there == 0 {
            self.fill(self.size)?;
            if self.text[..self.there].starts_with(BYTE_ORDER_MARK) {
                self.text.drain(..BYTE_ORDER_MARK.len());
                self.there -= BYTE_ORDER_MARK.len();
            }
        }
        Ok((&mut self.text[..self.there], self.is_at_end))
    }

    /// The next block; `None` at the end.
    pub(super) fn next(&mut self, ends: &Ends) -> Result<Option<Block>, TextError> {
        self.beginning()?;
        let mut wanted = self.size;
        loop {
            self.fill(wanted)?;
            if self.there == 0 {
                return Ok(None);
            }
            let looked = ends.look(&mut self.text[..self.there]);
            if let Some(wrong) = looked.wrong {
                return Err(TextError::AfterQuote { line: self.line_of(wrong) });
            }
            let end = match (looked.end, self.is_at_end) {
                (_, true) => {
                    self.check_end(ends, looked)?;
                    self.there
                }
                (Some(end), false) => end,
                (None, false) if self.there >= MOST_BYTES => {
                    return Err(match (ends, looked.open) {
                        (Ends::Quoted(_), Some(open)) => TextError::NotClosed { line: self.line_of(open) },
                        _ => TextError::TooLong { line: self.lines + 1, limit: MOST_BYTES },
                    });
                }
                (None, false) => {
                    wanted = self.there * 2;
                    continue;
                }
            };
            let mut rest = self.used.take(|| Ok::<_, TextError>(Vec::with_capacity(self.size)))?;
            let behind = &self.text[end..self.there];
            if rest.len() < behind.len() {
                rest.resize(behind.len(), 0);
            }
            rest[..behind.len()].copy_from_slice(behind);
            self.there = behind.len();
            self.text.truncate(end);
            let text = std::mem::replace(&mut self.text, rest);
            let first_line = self.lines + 1;
            self.lines += memchr_iter(b'\n', &text).count() as u64;
            return Ok(Some(Block { text, first_line, is_first: std::mem::take(&mut self.is_first) }));
        }
    }

    fn check_end(&self, ends: &Ends, looked: Looked) -> Result<(), TextError> {
        match (ends, looked.open) {
            (Ends::Quoted(_), Some(open)) => Err(TextError::NotClosed { line: self.line_of(open) }),
            (Ends::Values { .. }, Some(open)) => {
                Err(TextError::Json { line: self.line_of(open), reason: "the value that begins here has no end" })
            }
            _ => Ok(()),
        }
    }

    fn line_of(&self, place: usize) -> u64 {
        self.lines + 1 + memchr_iter(b'\n', &self.text[..place]).count() as u64
    }

    /// Reads until there are so many bytes.
    fn fill(&mut self, wanted: usize) -> Result<(), TextError> {
        if self.text.len() < wanted && !self.is_at_end {
            self.text.resize(wanted, 0);
        }
        while self.there < wanted && !self.is_at_end {
            match self.reader.read(&mut self.text[self.there..wanted]) {
                Ok(0) => self.is_at_end = true,
                Ok(read) => self.there += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Whether quotes enclose values in a text, as far as it tells: wherever a value begins with one, it also ends with one.
///
/// In tab-separated values a quote may as well be a character like others.
pub(super) fn uses_quotes(text: &[u8], quotes: Quotes, is_whole: bool) -> bool {
    let looked = Quotes { is_strict: true, ..quotes }.look(text);
    // A value may go on behind the end of a beginning, but not for long.
    let goes_on = |open: usize| !is_whole && memrchr2(b'\n', b'\r', &text[open..]).is_none();
    looked.wrong.is_none() && looked.open.is_none_or(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Quotes = Quotes { quote: b'"', escape: None, delimiter: b',', terminator: b'\n', is_strict: false };

    fn blocks(text: &str, ends: Ends, size: usize) -> Result<Vec<(String, u64)>, TextError> {
        let mut blocks = Blocks::new(text.as_bytes(), size);
        let mut all = vec![];
        while let Some(block) = blocks.next(&ends)? {
            all.push((String::from_utf8(block.text).unwrap(), block.first_line));
        }
        Ok(all)
    }

    #[test]
    fn a_text_is_cut_behind_records_at_any_size() {
        let text = "a,\"1\n2\"\nb,\"x\"\"\n\"\nc,5\"\nd,\"\"\n\"e\nf\",g";
        let whole = Ends::Quoted(CSV).split(text.as_bytes());
        let records: Vec<&str> = whole.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(records, ["a,\"1\n2\"\n", "b,\"x\"\"\n\"\n", "c,5\"\n", "d,\"\"\n", "\"e\nf\",g"]);
        for size in 1..text.len() + 2 {
            let blocks = blocks(text, Ends::Quoted(CSV), size).unwrap();
            let mut line = 1;
            let mut rest = records.as_slice();
            for (block, first) in &blocks {
                assert_eq!(*first, line);
                line += block.matches('\n').count() as u64;
                let count = (1..=rest.len()).find(|count| rest[..*count].concat() == *block);
                rest = &rest[count.unwrap_or_else(|| panic!("{block:?} at size {size}"))..];
            }
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_escape_character_hides_a_quote() {
        let quotes = Quotes { escape: Some(b'\\'), ..CSV };
        let text = "\"a\\\"\nb\"\nc\n";
        assert_eq!(Ends::Quoted(quotes).split(text.as_bytes()).len(), 2);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_an_error_with_its_line() {
        let error = blocks("a\nb,\"c\nd\n", Ends::Quoted(CSV), 4).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains("format.quote"), "{error}");
    }

    #[test]
    fn json_values_are_cut_wherever_their_lines_end() {
        let text = " [ {\"a\": \"]},{\\\"\",\n \"b\": [1, {}]},\n\n{\"a\": 2} ]\n";
        let mut array = text.replacen('[', " ", 1);
        let ends = Ends::Values { in_array: true };
        for size in 1..text.len() + 2 {
            let blocks = blocks(&array, ends, size).unwrap();
            let values: Vec<serde_json::Value> = blocks
                .iter()
                .flat_map(|(block, _)| serde_json::Deserializer::from_str(block).into_iter().map(Result::unwrap))
                .collect();
            assert_eq!(
                values,
                [serde_json::json!({"a": "]},{\"", "b": [1, {}]}), serde_json::json!({"a": 2})],
                "{size}"
            );
        }
        array.truncate(array.rfind('}').unwrap());
        let error = blocks(&array, ends, 1 << 10).unwrap_err().to_string();
        assert_eq!(error, "line 4: the value that begins here has no end");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(blocks("\u{feff}a\nb\n", Ends::Lines, 100).unwrap(), [("a\nb\n".to_string(), 1)]);
        assert_eq!(blocks("", Ends::Lines, 100).unwrap(), []);
    }

    #[test]
    fn quotes_of_tab_separated_values_may_be_ordinary() {
        let tabs = Quotes { delimiter: b'\t', ..CSV };
        for (text, expected) in [
            ("a\t\"b\tc\"\td\n", true),
            ("a\tb\n\"x\ny\"\tz\n", true),
            ("\"lone\tx\nb\tc\n", false),
            ("a \"b\" c\tx\n", true),
            ("\"so\" it is\tx\n", false),
        ] {
            assert_eq!(uses_quotes(text.as_bytes(), tabs, true), expected, "{text:?}");
        }
    }
}

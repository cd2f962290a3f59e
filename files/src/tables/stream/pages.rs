//! The pages of a column chunk, read as a stream; large pages of byte strings are cut into small ones.

use std::io::{self, Read};

use datafusion::parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Type};
use datafusion::parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::ColumnChunkMetaData;

use super::block::{BlockReader, Object};
use super::chunk_rows::ChunkRows;
use super::codec::decompress;
use super::header::{self, PageHeader, PageKind};
use super::levels;
use super::rows::{DictionaryValues, EMPTY, Levels, Parts, PlainValues, UNUSED};

/// No more than this is allocated on the word of a header.
const BELIEVED: usize = 8 << 20;

/// Where a large dictionary's body lies.
#[derive(Debug, Clone)]
struct Dictionary {
    body: std::ops::Range<u64>,
    entries: u32,
}

/// Reads the pages of one column chunk.
///
/// With rows selected, a page of byte strings without a wanted row is not read, and values of unwanted rows in a page
/// that is cut are not kept: empty strings stand in their places, which the decoder passes over.
pub(super) struct ChunkPages {
    object: Object,
    reader: BlockReader,
    /// Where the next page's header begins.
    position: u64,
    end: u64,
    /// Values that no page has given yet, NULLs included.
    values_left: u64,
    column: Column,
    rows: ChunkRows,
    dictionary: Option<Dictionary>,
    parts: Option<Parts>,
    /// A page that was looked at and not taken yet.
    peeked: Option<Page>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    codec: Compression,
    is_bytes: bool,
    max_definition: i16,
    max_repetition: i16,
}

impl ChunkPages {
    pub(super) fn new(object: &Object, chunk: &ColumnChunkMetaData, mut rows: ChunkRows) -> Self {
        let (start, length) = chunk.byte_range();
        let description = chunk.column_descr();
        let column = Column {
            codec: chunk.compression(),
            // An empty string is no number.
            is_bytes: description.physical_type() == Type::BYTE_ARRAY
                && description.converted_type() != ConvertedType::DECIMAL
                && !matches!(description.logical_type_ref(), Some(LogicalType::Decimal { .. })),
            max_definition: description.max_def_level(),
            max_repetition: description.max_rep_level(),
        };
        if !column.is_bytes {
            rows.read_every_page();
        }
        let wanted = rows.wanted_bytes(start..start + length, object.sizes.gap());
        Self {
            object: object.clone(),
            reader: BlockReader::with_wanted(object, start, start + length, wanted),
            position: start,
            end: start + length,
            values_left: chunk.num_values().max(0) as u64,
            column,
            rows,
            dictionary: None,
            parts: None,
            peeked: None,
        }
    }

    fn next(&mut self) -> io::Result<Option<Page>> {
        loop {
            if let Some(parts) = &mut self.parts {
                match parts.next_page()? {
                    Some(page) => return Ok(Some(page)),
                    None => self.parts = None,
                }
            }
            if self.values_left == 0 || self.position >= self.end {
                return Ok(None);
            }
            if let Some((rows, end)) = self.rows.unwanted_page(self.position) {
                self.jump(end);
                return Ok(Some(self.blank(rows)));
            }
            let header = self.header()?;
            let cut = self.column.is_bytes && header.uncompressed > self.object.sizes.cut_larger_than;
            match &header.kind {
                PageKind::Other => self.jump(self.position + header.compressed),
                PageKind::Dictionary { values, .. } if cut => {
                    let body = self.position..self.position + header.compressed;
                    self.jump(body.end);
                    self.dictionary = Some(Dictionary { body, entries: *values });
                }
                PageKind::Dictionary { values, encoding, is_sorted } => {
                    let (num_values, encoding, is_sorted) = (*values, *encoding, *is_sorted);
                    let buf = self.body(&header)?.into();
                    return Ok(Some(Page::DictionaryPage { buf, num_values, encoding, is_sorted }));
                }
                kind => {
                    let (values, encoding) = data(kind);
                    let is_flat = self.column.max_repetition == 0;
                    if is_flat && self.rows.are_unwanted(values as usize) {
                        self.jump(self.position + header.compressed);
                        return Ok(Some(self.blank(values as usize)));
                    }
                    self.values_left = self.values_left.saturating_sub(u64::from(values));
                    if encoding == Encoding::RLE_DICTIONARY && self.dictionary.is_some() {
                        self.parts = Some(self.cut_dictionary_run(header)?);
                    } else if cut && encoding == Encoding::PLAIN && has_rle_levels(kind) {
                        self.parts = Some(self.cut_plain(&header)?);
                    } else {
                        if is_flat {
                            self.rows.pass(values as usize);
                        }
                        return self.whole(&header).map(Some);
                    }
                }
            }
        }
    }

    /// Reads the header at the current position and stands behind it.
    fn header(&mut self) -> io::Result<PageHeader> {
        let mut counted = Counted { reader: &mut self.reader, count: 0 };
        let header = header::read(&mut counted)?;
        self.position += counted.count;
        if header.compressed > self.end - self.position.min(self.end) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "page: it ends behind its column chunk"));
        }
        Ok(header)
    }

    /// Goes on at `position`, which lies ahead.
    fn jump(&mut self, position: u64) {
        self.position = position;
        self.reader.seek(position);
    }

    fn reader_from(&self, position: u64) -> BlockReader {
        let wanted = self.rows.wanted_bytes(position..self.end, self.object.sizes.gap());
        BlockReader::with_wanted(&self.object, position, self.end, wanted)
    }

    /// Empty strings for rows that nobody wants, one a row.
    fn blank(&mut self, rows: usize) -> Page {
        self.rows.pass(rows);
        let mut body = vec![];
        for (level, max) in [(0, self.column.max_repetition), (self.column.max_definition, self.column.max_definition)]
        {
            if max > 0 {
                let encoded = levels::encode(&vec![level as u32; rows], levels::bit_width(max));
                body.extend((encoded.len() as u32).to_le_bytes());
                body.extend(encoded);
            }
        }
        body.extend(EMPTY.repeat(rows));
        // Of a list, the number of values is not known: then the chunk's end is the end.
        if self.column.max_repetition == 0 {
            self.values_left = self.values_left.saturating_sub(rows as u64);
        }
        Page::DataPage {
            buf: body.into(),
            num_values: rows as u32,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    /// Of each value, whether its row is wanted; `None` if all are. The rows are passed.
    fn wanted_values(&mut self, levels: &Levels) -> Option<Vec<bool>> {
        let wanted = self.rows.wanted()?.of_values(levels);
        self.rows.pass(levels.rows());
        Some(wanted)
    }

    /// A page's decoded body: the levels of a V2 page are never compressed.
    fn body(&mut self, header: &PageHeader) -> io::Result<Vec<u8>> {
        let (plain, codec) = match header.kind {
            PageKind::DataV2 { definition, repetition, is_compressed, .. } => {
                let codec = if is_compressed { self.column.codec } else { Compression::UNCOMPRESSED };
                (u64::from(definition) + u64::from(repetition), codec)
            }
            _ => (0, self.column.codec),
        };
        let mut raw = self.reader.by_ref().take(header.compressed);
        let mut body = Vec::with_capacity(header.uncompressed.min(BELIEVED));
        raw.by_ref().take(plain).read_to_end(&mut body)?;
        if raw.limit() > 0 {
            let left = header.uncompressed.saturating_sub(body.len());
            decompress(codec, &mut raw)?.take(left as u64).read_to_end(&mut body)?;
        }
        io::copy(&mut raw, &mut io::sink())?;
        self.position += header.compressed;
        if body.len() < header.uncompressed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(body)
    }

    fn whole(&mut self, header: &PageHeader) -> io::Result<Page> {
        let buf = self.body(header)?.into();
        Ok(match header.kind {
            PageKind::DataV2 { values, nulls, rows, encoding, definition, repetition, .. } => Page::DataPageV2 {
                buf,
                num_values: values,
                encoding,
                num_nulls: nulls,
                num_rows: rows,
                def_levels_byte_len: definition,
                rep_levels_byte_len: repetition,
                is_compressed: false,
                statistics: None,
            },
            PageKind::DataV1 { values, encoding, definition, repetition } => Page::DataPage {
                buf,
                num_values: values,
                encoding,
                def_level_encoding: definition,
                rep_level_encoding: repetition,
                statistics: None,
            },
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "page: not a data page")),
        })
    }

    /// Cuts one large PLAIN page.
    fn cut_plain(&mut self, header: &PageHeader) -> io::Result<Parts> {
        let start = self.position;
        self.position = start + header.compressed;
        let behind = self.reader_from(self.position);
        self.reader.end_at(self.position);
        let body = std::mem::replace(&mut self.reader, behind).take(header.compressed);
        let (levels, values) = self.column.open(header, body)?;
        let wanted = self.wanted_values(&levels);
        Ok(Parts::new(levels, Box::new(PlainValues(values)), self.object.sizes.cut_into, wanted))
    }

    /// Reads the data pages from here on that refer to the large dictionary, and streams the dictionary along them.
    fn cut_dictionary_run(&mut self, first: PageHeader) -> io::Result<Parts> {
        let Some(dictionary) = self.dictionary.clone() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "page: no dictionary"));
        };
        let column = self.column;
        let mut levels = Levels {
            max_definition: column.max_definition,
            max_repetition: column.max_repetition,
            ..Levels::default()
        };
        let mut indices = vec![];
        let mut page = first;
        loop {
            let end = self.position + page.compressed;
            let mut raw = self.reader.by_ref().take(page.compressed);
            let (page_levels, mut values) = column.open(&page, &mut raw)?;
            let mut encoded = vec![];
            values.read_to_end(&mut encoded)?;
            drop(values);
            io::copy(&mut raw, &mut io::sink())?;
            self.position = end;
            let count = page_levels.values();
            if let Some((&width, encoded)) = encoded.split_first() {
                indices.extend(levels::decode(encoded, width, count)?);
            }
            levels.append(page_levels);
            if self.values_left == 0 || self.position >= self.end {
                break;
            }
            let header_at = self.position;
            let next = self.header()?;
            let is_data = matches!(next.kind, PageKind::DataV1 { .. } | PageKind::DataV2 { .. });
            if !is_data || data(&next.kind).1 != Encoding::RLE_DICTIONARY {
                self.position = header_at;
                self.reader = self.reader_from(header_at);
                break;
            }
            self.values_left = self.values_left.saturating_sub(u64::from(data(&next.kind).0));
            page = next;
        }
        let wanted = self.wanted_values(&levels);
        if let Some(wanted) = &wanted {
            let of_values = (0..levels.count).filter(|&at| levels.is_value(at));
            let unwanted = of_values.zip(&mut indices).filter(|(at, _)| !wanted[*at]);
            unwanted.for_each(|(_, index)| *index = UNUSED);
        }
        let body = BlockReader::new(&self.object, dictionary.body);
        let entries = decompress(column.codec, body)?;
        let values = DictionaryValues::try_new(entries, dictionary.entries, indices)?;
        Ok(Parts::new(levels, Box::new(values), self.object.sizes.cut_into, wanted))
    }
}

impl Column {
    /// Reads a data page's levels; its values are what follows in the reader that is given back.
    fn open<'a>(
        &self,
        header: &PageHeader,
        mut raw: impl Read + Send + 'a,
    ) -> io::Result<(Levels, Box<dyn Read + Send + 'a>)> {
        let count = data(&header.kind).0 as usize;
        let (repetition, definition, values) = match header.kind {
            PageKind::DataV2 { definition, repetition, is_compressed, .. } => {
                let repetition = take(&mut raw, repetition)?;
                let definition = take(&mut raw, definition)?;
                let codec = if is_compressed { self.codec } else { Compression::UNCOMPRESSED };
                (repetition, definition, decompress(codec, raw)?)
            }
            _ => {
                let mut values = decompress(self.codec, raw)?;
                let repetition = if self.max_repetition > 0 { sized(&mut values)? } else { vec![] };
                let definition = if self.max_definition > 0 { sized(&mut values)? } else { vec![] };
                (repetition, definition, values)
            }
        };
        let decode = |bytes: &[u8], max: i16| {
            if max > 0 { levels::decode(bytes, levels::bit_width(max), count) } else { Ok(vec![]) }
        };
        let levels = Levels {
            definition: decode(&definition, self.max_definition)?,
            repetition: decode(&repetition, self.max_repetition)?,
            max_definition: self.max_definition,
            max_repetition: self.max_repetition,
            count,
        };
        Ok((levels, values))
    }
}

fn data(kind: &PageKind) -> (u32, Encoding) {
    match kind {
        PageKind::DataV1 { values, encoding, .. } | PageKind::DataV2 { values, encoding, .. } => (*values, *encoding),
        PageKind::Dictionary { .. } | PageKind::Other => (0, Encoding::PLAIN),
    }
}

/// The levels of a V2 page are always runs; those of a V1 page may be in a form that no writer uses any more.
fn has_rle_levels(kind: &PageKind) -> bool {
    match kind {
        PageKind::DataV1 { definition, repetition, .. } => *definition == Encoding::RLE && *repetition == Encoding::RLE,
        _ => true,
    }
}

fn sized(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    take(reader, u32::from_le_bytes(length))
}

fn take(reader: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    reader.by_ref().take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

/// Counts what is read.
struct Counted<'a, R> {
    reader: &'a mut R,
    count: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

impl Iterator for ChunkPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for ChunkPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        if let Some(page) = self.peeked.take() {
            return Ok(Some(page));
        }
        ChunkPages::next(self).map_err(|e| ParquetError::External(Box::new(e)))
    }

    /// Looks at a page by reading it: what nobody wants costs nothing.
    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.peeked.is_none() {
            self.peeked = self.get_next_page()?;
        }
        let is_flat = self.column.max_repetition == 0;
        Ok(self.peeked.as_ref().map(|page| PageMetadata {
            num_rows: None,
            // A part of a list must not be passed over as if it were rows.
            num_levels: is_flat.then(|| page.num_values() as usize),
            is_dict: matches!(page, Page::DictionaryPage { .. }),
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.get_next_page().map(drop)
    }

    /// Where a page is cut has nothing to do with where a record ends.
    fn at_record_boundary(&mut self) -> Result<bool> {
        let all_read = self.values_left == 0 || self.position >= self.end;
        Ok(all_read && self.peeked.is_none() && self.parts.as_ref().is_none_or(Parts::is_done))
    }
}

/// The pages of one column chunk, as the decoder asks for them.
pub(super) struct OneChunk(Option<ChunkPages>);

impl OneChunk {
    pub(super) fn new(pages: ChunkPages) -> Self {
        Self(Some(pages))
    }
}

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}

#[cfg(test)]
mod tests;

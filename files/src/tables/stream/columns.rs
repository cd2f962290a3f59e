//! Columns of a file, and a row group of it whose chunks are read as streams.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::error::Result;
#[cfg(test)]
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use datafusion::parquet::arrow::arrow_reader::RowGroups;
use datafusion::parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use datafusion::parquet::column::page::PageIterator;
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::block::Object;
use super::chunk_rows::{ChunkRows, ChunkShape};
use super::pages::{ChunkPages, OneChunk};
use super::selection::Selected;
use super::texts::{as_bytes, fields_as_bytes};

/// The column that holds a row's number in its file.
pub(in crate::tables) fn row_number_field(name: &str) -> Field {
    Field::new(name, DataType::UInt64, false)
}

/// `schema` with one more field.
pub(in crate::tables) fn with_field(schema: &Schema, field: Field) -> Schema {
    let fields: Vec<_> = schema.fields().iter().cloned().chain([Arc::new(field)]).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// Some columns of a file, whose texts are read as byte strings.
pub(super) struct Columns {
    pub(super) levels: FieldLevels,
    pub(super) mask: ProjectionMask,
    /// The columns, and the row's number behind them if it is wanted.
    schema: SchemaRef,
    /// The row's number, if it is wanted.
    pub(super) number: Option<Field>,
}

impl Columns {
    /// The columns of these places in `schema`, which is the file's schema and, perhaps, the row's number behind it.
    pub(super) fn new(metadata: &ParquetMetaData, schema: &Schema, places: &[usize]) -> Result<Self> {
        let description = metadata.file_metadata().schema_descr();
        let in_file = description.root_schema().get_fields().len();
        let mask = ProjectionMask::roots(description, places.iter().copied().filter(|place| *place < in_file));
        let fields: Fields = schema.fields().iter().take(in_file).cloned().collect();
        let read = fields_as_bytes(&fields);
        let levels = parquet_to_arrow_field_levels(&as_bytes(description)?, mask.clone(), Some(&read))?;
        let number = places.iter().find(|place| **place >= in_file).map(|place| schema.field(*place).clone());
        Ok(Self { levels, mask, schema: Arc::new(schema.project(places)?), number })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the columns of a row group weigh in the file.
    pub(super) fn bytes(&self, metadata: &ParquetMetaData, group: usize) -> u64 {
        let chunks = metadata.row_group(group).columns().iter().enumerate();
        chunks.filter(|(leaf, _)| self.mask.leaf_included(*leaf)).map(|(_, chunk)| chunk.byte_range().1).sum()
    }
}

/// One row group whose chunks are read as streams.
pub(super) struct StreamedRowGroup<'a> {
    pub(super) metadata: &'a ParquetMetaData,
    pub(super) object: &'a Object,
    pub(super) index: usize,
    pub(super) selected: Option<&'a Selected>,
}

impl RowGroups for StreamedRowGroup<'_> {
    fn num_rows(&self) -> usize {
        self.metadata.row_group(self.index).num_rows().max(0) as usize
    }

    fn column_chunks(&self, leaf: usize) -> datafusion::parquet::errors::Result<Box<dyn PageIterator>> {
        let chunk = self.metadata.row_group(self.index).column(leaf);
        let description = self.metadata.file_metadata().schema_descr();
        let root = description.get_column_root_idx(leaf);
        let leaves = (0..description.num_columns()).filter(|leaf| description.get_column_root_idx(*leaf) == root);
        let shape = ChunkShape {
            rows: self.num_rows(),
            is_list: chunk.column_descr().max_rep_level() > 0,
            is_alone: leaves.count() == 1,
        };
        let index = self.metadata.offset_index().and_then(|groups| groups.get(self.index)?.get(leaf));
        let pages = index.map(|index| index.page_locations().as_slice()).unwrap_or_default();
        let rows = ChunkRows::new(self.selected, pages, shape);
        Ok(Box::new(OneChunk::new(ChunkPages::new(self.object, chunk, rows))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// Reads the selected rows of all columns of one row group as a scan does.
#[cfg(test)]
pub(super) fn read_row_group(
    metadata: &ParquetMetaData,
    object: &Object,
    index: usize,
    selected: Option<&Selected>,
    batch_size: usize,
) -> datafusion::parquet::errors::Result<ParquetRecordBatchReader> {
    let description = metadata.file_metadata().schema_descr();
    let levels = parquet_to_arrow_field_levels(description, ProjectionMask::all(), None)?;
    let group = StreamedRowGroup { metadata, object, index, selected };
    let selection = selected.map(Selected::to_row_selection);
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, batch_size, selection)
}

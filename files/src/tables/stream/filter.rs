//! Predicates that a scan applies to rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr::utils::{collect_columns, conjunction, reassign_expr_columns};
use datafusion::physical_plan::PhysicalExpr;

use super::columns::Columns;

/// What a scan's predicate asks of each row, the cheapest columns first.
#[derive(Default)]
pub(super) struct RowFilter {
    /// Applied one after the other, each to the rows that are left, before any other column is read.
    pub(super) stages: Vec<Stage>,
    /// Applied to the rows as they are read: it wants the very columns that make a row heavy, and reading them twice, or
    /// those of a whole row group before the first row goes on, would cost more than it spares.
    pub(super) late: Option<Arc<dyn PhysicalExpr>>,
}

/// A predicate and the columns that it reads.
pub(super) struct Stage {
    pub(super) predicate: Arc<dyn PhysicalExpr>,
    pub(super) columns: Columns,
}

/// A conjunct, the places of its columns, and what these weigh in the file.
struct Conjunct {
    predicate: Arc<dyn PhysicalExpr>,
    places: BTreeSet<usize>,
    bytes: u64,
}

impl RowFilter {
    /// Sorts out the conjuncts of `predicate`, which is in terms of `schema`: the file's schema and, perhaps, the row's
    /// number. `read` are the places of the columns that are read anyway, `projected` their schema. Columns that weigh no
    /// more than `light` together are read in one go.
    pub(super) fn new(
        predicate: &Arc<dyn PhysicalExpr>,
        metadata: &ParquetMetaData,
        schema: &SchemaRef,
        read: &[usize],
        projected: &SchemaRef,
        light: u64,
    ) -> Result<Self> {
        let weights = weights(metadata);
        let weigh = |places: &BTreeSet<usize>| places.iter().filter_map(|place| weights.get(*place)).sum::<u64>();
        let read: BTreeSet<usize> = read.iter().copied().collect();
        let read_bytes = weigh(&read);
        let mut conjuncts: Vec<Conjunct> = split_conjunction(predicate)
            .into_iter()
            .map(|predicate| {
                let places = collect_columns(predicate).iter().map(|column| column.index()).collect();
                Conjunct { predicate: Arc::clone(predicate), bytes: weigh(&places), places }
            })
            .collect();
        conjuncts.sort_by_key(|conjunct| conjunct.bytes);
        let is_late = |c: &Conjunct| c.bytes > light && c.bytes * 2 >= read_bytes && c.places.is_subset(&read);
        let (late, early): (Vec<_>, Vec<_>) = conjuncts.into_iter().partition(is_late);

        let mut stages: Vec<Conjunct> = vec![];
        for conjunct in early {
            match stages.last_mut() {
                Some(last) if last.bytes + conjunct.bytes <= light || conjunct.places.is_subset(&last.places) => {
                    last.places.extend(&conjunct.places);
                    last.bytes = weigh(&last.places);
                    last.predicate = conjunction([Arc::clone(&last.predicate), conjunct.predicate]);
                }
                _ => stages.push(conjunct),
            }
        }
        let stages = stages.into_iter().map(|Conjunct { predicate, places, .. }| {
            let places: Vec<usize> = places.into_iter().collect();
            let columns = Columns::new(metadata, schema, &places)?;
            Ok(Stage { predicate: reassign_expr_columns(predicate, columns.schema())?, columns })
        });
        let stages = stages.collect::<Result<_>>()?;
        let late = (!late.is_empty()).then(|| conjunction(late.into_iter().map(|conjunct| conjunct.predicate)));
        let late = late.map(|predicate| reassign_expr_columns(predicate, projected)).transpose()?;
        Ok(Self { stages, late })
    }
}

/// What each column of the file weighs.
fn weights(metadata: &ParquetMetaData) -> Vec<u64> {
    let description = metadata.file_metadata().schema_descr();
    let mut weights = vec![0; description.root_schema().get_fields().len()];
    for group in metadata.row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            weights[description.get_column_root_idx(leaf)] += chunk.byte_range().1;
        }
    }
    weights
}

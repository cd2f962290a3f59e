//! Reading labels, scores and groups.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use tamis_evaluation::{Column, Groups, Table, level};

use super::columns::{Columns, named};
use super::error::EvalError;
use crate::error::CommandError;
use crate::progress::Progress;

/// How many groups there may be.
pub(super) const MOST_GROUPS: usize = 200;

/// What a row without a group is under.
const NO_GROUP: &str = "NULL";

/// Reads the rows of the data. Rows without a label are counted, and not scored by models.
pub(super) async fn read(data: DataFrame, columns: &Columns, is_quiet: bool) -> Result<Table, CommandError> {
    if !columns.has_model {
        return scan(data, columns, is_quiet).await;
    }
    // What is wrong with labels and groups is told before models work.
    let Table { unlabelled, .. } = scan(data.clone(), &columns.without_scores(), is_quiet).await?;
    let labelled = data.filter(named(&columns.label).is_not_null())?;
    Ok(Table { unlabelled, ..scan(labelled, columns, is_quiet).await? })
}

async fn scan(data: DataFrame, columns: &Columns, is_quiet: bool) -> Result<Table, CommandError> {
    let by = columns.by.as_deref().map(named);
    let scores = columns.scores.iter().map(|(_, score)| score.clone());
    let read = [named(&columns.label)].into_iter().chain(by).chain(scores).enumerate();
    // Names of their own: a column may be read twice, and be named like a model.
    let data = data.select(read.map(|(place, column)| column.alias(format!("c{place}"))).collect::<Vec<_>>())?;
    let context = Arc::new(data.task_ctx());
    let plan = data.create_physical_plan().await?;
    let _progress = Progress::start(&plan, is_quiet);
    let mut batches = execute_stream(Arc::clone(&plan), context)?;
    let mut reader = Reader::new(columns);
    while let Some(batch) = batches.try_next().await? {
        reader.add(&batch)?;
    }
    Ok(reader.table)
}

/// Puts rows into a table.
struct Reader {
    label: String,
    table: Table,
    /// The places of groups, by name.
    places: HashMap<String, u32>,
}

impl Reader {
    fn new(columns: &Columns) -> Self {
        let scores = columns.scores.iter().map(|(name, _)| Column { name: name.clone(), scores: vec![] });
        let groups = columns.by.clone().map(|by| Groups { by, ..Groups::default() });
        Self {
            label: columns.label.clone(),
            table: Table { columns: scores.collect(), groups, ..Table::default() },
            places: HashMap::new(),
        }
    }

    /// Adds rows: a label, a group if there are groups, and the scores.
    fn add(&mut self, batch: &RecordBatch) -> Result<(), CommandError> {
        let mut columns = batch.columns().iter();
        let mut next = || columns.next().ok_or_else(|| DataFusionError::Internal("a column is missing".into()));
        let labels = numbers(next()?, &self.label, "labels are numbers: CAST it in the query of --data")?;
        for label in labels.iter().flatten() {
            let value = level(label).ok_or_else(|| EvalError::Label { column: self.label.clone(), value: label })?;
            self.table.labels.push(value);
        }
        self.table.unlabelled += labels.null_count() as u64;
        if self.table.groups.is_some() {
            self.add_groups(next()?, &labels)?;
        }
        for column in &mut self.table.columns {
            let scores = numbers(next()?, &column.name, "scores are numbers: CAST it in the query of --data")?;
            let scores = scores.iter().zip(&labels).filter(|(_, label)| label.is_some());
            column.scores.extend(scores.map(|(score, _)| score.unwrap_or(f64::NAN)));
        }
        Ok(())
    }

    fn add_groups(&mut self, values: &ArrayRef, labels: &Float64Array) -> Result<(), CommandError> {
        let Some(groups) = &mut self.table.groups else { return Ok(()) };
        let options = FormatOptions::default();
        let values_as_text = ArrayFormatter::try_new(values, &options).map_err(DataFusionError::from)?;
        for row in (0..values.len()).filter(|&row| labels.is_valid(row)) {
            let name = match values.is_null(row) {
                true => NO_GROUP.to_string(),
                false => quoted(values_as_text.value(row).to_string()),
            };
            let next = groups.names.len();
            let place = *self.places.entry(name).or_insert_with_key(|name| {
                groups.names.push(name.clone());
                next as u32
            });
            if groups.names.len() > MOST_GROUPS {
                return Err(EvalError::TooManyGroups { column: groups.by.clone() }.into());
            }
            groups.of.push(place);
        }
        Ok(())
    }
}

/// A group's name: the value, but for a text that reads like no value.
fn quoted(value: String) -> String {
    if value == NO_GROUP { format!("'{value}'") } else { value }
}

/// A column of numbers as such.
fn numbers(values: &ArrayRef, column: &str, wanted: &'static str) -> Result<Float64Array, CommandError> {
    if !(values.data_type().is_numeric() || values.data_type().is_null()) {
        let found = values.data_type().to_string();
        return Err(EvalError::Type { column: column.to_string(), found, wanted }.into());
    }
    let numbers = cast(values, &DataType::Float64).map_err(DataFusionError::from)?;
    Ok(numbers.as_primitive::<Float64Type>().clone())
}

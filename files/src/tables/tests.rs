//! Real files, read by a real session.

mod columns;
mod data;
mod invalid;
mod late;
mod names;
mod rows;
mod texts;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;

use crate::output::{BinaryForm, TextEncoder, TextKind};

/// The rows of a query as lines of CSV, without the header; the error's message if it fails.
async fn csv(context: &SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let collected = async {
        let frame = context.sql(sql).await?;
        let schema = frame.schema().as_arrow().clone();
        frame.collect().await.map(|batches| (schema, batches))
    };
    let (schema, batches): (_, Vec<RecordBatch>) = collected.await.map_err(|e| crate::describe::message(&e))?;
    let mut encoder = TextEncoder::new(TextKind::Csv, &schema, BinaryForm::Base64);
    let mut bytes = vec![];
    for batch in &batches {
        bytes.extend(encoder.encode(batch).unwrap());
    }
    bytes.extend(encoder.finish().unwrap());
    Ok(String::from_utf8(bytes).unwrap().lines().skip(1).map(str::to_string).collect())
}

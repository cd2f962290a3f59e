//! What is evaluated: labels, and scores by column.

/// Labelled rows.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The label of each row, below [`LEVELS`](crate::LEVELS).
    pub labels: Vec<u8>,
    /// The columns of scores, each with one for each row. The others are compared with the first.
    pub columns: Vec<Column>,
    /// The groups that the rows belong to.
    pub groups: Option<Groups>,
    /// How many rows were left out, as they have no label.
    pub unlabelled: u64,
}

/// The scores of one model, or of one column of the data.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// The model's or column's name.
    pub name: String,
    /// A score for each row. What is not finite is no score.
    pub scores: Vec<f64>,
}

/// Which group each row belongs to.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// The name of what groups differ in.
    pub by: String,
    /// The groups' names.
    pub names: Vec<String>,
    /// For each row the place of its group among the names.
    pub of: Vec<u32>,
}

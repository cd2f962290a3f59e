//! Running statements and printing what they give.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::TryStreamExt;
use tamis_engine::session::Session;
use tamis_engine::statements;
use tamis_files::describe::{panicked, said};
use tamis_files::output::{BinaryForm, FileOutput};

use super::error::CommandError;
use super::print::{PrintFormat, Printer};
use super::progress::Progress;

/// How long an interrupted query may take to stop before it is left behind.
const STOP_WITHIN: Duration = Duration::from_millis(500);

/// Runs statements in a session.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) session: Session,
    pub(super) format: PrintFormat,
    pub(super) form: BinaryForm,
    pub(super) is_quiet: bool,
}

impl Runner {
    /// Runs all statements of `sql`; a syntax error in the last one keeps the first from running. Returns the number of
    /// rows that the last statement gave.
    pub(super) async fn run(&self, sql: &str, output: Option<&FileOutput>) -> Result<u64, CommandError> {
        let parsed = statements::parse(sql)?;
        if let Some(output) = output {
            match parsed.iter().filter(|statement| gives_rows(statement)).count() {
                0 => return Err(CommandError::NoOutput { location: output.location().to_string() }),
                1 => {}
                _ => return Err(CommandError::SeveralOutputs),
            }
        }
        let mut rows = 0;
        for statement in parsed {
            let output = output.filter(|_| gives_rows(&statement));
            rows = self.run_one(statement, output).await.map_err(|error| error.locate(sql))?;
        }
        Ok(rows)
    }

    async fn run_one(&self, statement: Statement, output: Option<&FileOutput>) -> Result<u64, CommandError> {
        let frame = self.session.plan(statement).await?;
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let progress = Progress::start(&plan, self.is_quiet);
        let stream = execute_stream(Arc::clone(&plan), context)?;
        match output {
            Some(output) => {
                let rows = output.write(self.session.context(), stream).await?;
                drop(progress);
                if !self.is_quiet {
                    eprintln!("wrote {rows} rows to {}", output.location());
                }
                Ok(rows)
            }
            None => self.print(&plan, stream, &progress).await,
        }
    }

    async fn print(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        mut stream: datafusion::execution::SendableRecordBatchStream,
        progress: &Progress,
    ) -> Result<u64, CommandError> {
        let schema = plan.schema();
        let mut printer = Printer::new(self.format, &schema, self.form);
        let mut stdout = std::io::stdout();
        let mut rows = 0;
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows() as u64;
            progress.suspend(|| printer.print(&batch, &mut stdout))?;
        }
        // Statements such as SET and CREATE VIEW give no columns.
        if !schema.fields().is_empty() {
            progress.suspend(|| printer.finish(&mut stdout))?;
        }
        Ok(rows)
    }
}

pub(super) fn gives_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => !matches!(
            statement.as_ref(),
            SqlStatement::Set(_)
                | SqlStatement::CreateView(_)
                | SqlStatement::CreateTable(_)
                | SqlStatement::Drop { .. }
        ),
        Statement::Explain(_) => true,
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

/// Runs `work` until it ends or Ctrl-C is pressed, which gives `None`.
///
/// The work is a task of its own: planning or printing may block its thread, and the interrupt must get through.
pub(super) async fn interruptible<T: Send + 'static>(
    work: impl Future<Output = Result<T, CommandError>> + Send + 'static,
) -> Result<Option<T>, CommandError> {
    let mut task = tokio::spawn(work);
    tokio::select! {
        ended = &mut task => ended.map_err(ended_early)?.map(Some),
        _ = tokio::signal::ctrl_c() => {
            task.abort();
            let _ = tokio::time::timeout(STOP_WITHIN, task).await;
            Ok(None)
        }
    }
}

/// A task that did not come to its end.
pub(super) fn ended_early(error: tokio::task::JoinError) -> CommandError {
    match error.try_into_panic() {
        Ok(panic) => CommandError::Task(panicked(&said(panic.as_ref()))),
        Err(error) => CommandError::Task(format!("the query's task failed: {error}")),
    }
}

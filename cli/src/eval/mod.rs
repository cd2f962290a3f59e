//! `tamis eval`: how well scores agree with labels.

mod args;
mod columns;
mod error;
mod output;
mod rows;

use std::path::Path;

use tamis_engine::session::Session;
use tamis_evaluation::{Bootstrap, Report, evaluate};

use super::error::CommandError;
use super::run::{ended_early, interruptible};
use super::{Ending, block_on, remembered};
pub(crate) use args::EvalArgs;
use columns::Columns;
pub(crate) use error::EvalError;

/// Runs `tamis eval ...`.
pub(super) fn run(args: EvalArgs) -> Result<Ending, CommandError> {
    if let Some(folder) = args.output.as_ref().filter(|folder| folder.to_string_lossy().contains("://")) {
        return Err(CommandError::Usage(format!("-o {}: expected a folder on this machine", folder.display())));
    }
    if let Some(folder) = &args.output {
        output::make_folder(folder)?;
    }
    let (is_json, is_quiet, folder) = (args.json, args.quiet, args.output.clone());
    let evaluated = block_on(async move { interruptible(async move { evaluation(&args).await }).await })?;
    let Some(report) = evaluated else { return Ok(Ending::Interrupted) };
    if !is_quiet {
        tell_of_rows_left_out(&report);
    }
    let written = folder.map_or(Ok(()), |folder| write(&report, &folder, is_quiet));
    output::print(&report, is_json)?;
    written?;
    Ok(Ending::Done)
}

fn write(report: &Report, folder: &Path, is_quiet: bool) -> Result<(), EvalError> {
    output::write(report, folder)?;
    if !is_quiet {
        eprintln!("wrote the report to {}", folder.display());
    }
    Ok(())
}

async fn evaluation(args: &EvalArgs) -> Result<Report, CommandError> {
    let mut settings = args.session.settings();
    settings.options.splice(0..0, remembered::option());
    let session = Session::open(&settings).await?;
    let data = session.data(&args.data).await?;
    let columns = Columns::find(args, &data, session.context())?;
    let table = rows::read(data, &columns, args.quiet).await?;
    let bootstrap = Bootstrap { resamples: args.resamples, seed: args.seed };
    // It computes for seconds; the interrupt must get through.
    let evaluated = tokio::task::spawn_blocking(move || evaluate(&table, bootstrap)).await.map_err(ended_early)?;
    Ok(evaluated.map_err(EvalError::from)?)
}

/// Figures are of the rows that are left: what was left out is told.
fn tell_of_rows_left_out(report: &Report) {
    if let Some((_, first)) = report.columns.first().filter(|(_, first)| first.unlabelled > 0) {
        eprintln!("warning: {} rows have no label and are left out", first.unlabelled);
    }
    for (name, evaluation) in &report.columns {
        let (rows, unscored) = (evaluation.all.rows, evaluation.all.unscored);
        if unscored > 0 {
            eprintln!(
                "warning: {name}: {unscored} of {} labelled rows have no score and are left out",
                rows + unscored
            );
        }
    }
}

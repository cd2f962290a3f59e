//! A report on the standard output and in a folder.

use std::io::Write;
use std::path::Path;

use tamis_evaluation::{Report, pictures};

use super::error::EvalError;
use crate::error::CommandError;

/// Prints a report: as JSON, or as Markdown.
pub(super) fn print(report: &Report, is_json: bool) -> Result<(), CommandError> {
    let text = if is_json { json(report)? } else { report.markdown(&[]) };
    std::io::stdout().write_all(text.as_bytes()).map_err(CommandError::Print)
}

/// Makes the folder of a report, if there is none: before anything is computed.
pub(super) fn make_folder(folder: &Path) -> Result<(), EvalError> {
    std::fs::create_dir_all(folder).map_err(|source| refused(folder, source))
}

/// Writes a report to a folder: Markdown, JSON, and the pictures that the Markdown shows.
pub(super) fn write(report: &Report, folder: &Path) -> Result<(), EvalError> {
    let pictures = pictures::draw(report)?;
    let links: Vec<_> = pictures.iter().map(|picture| (picture.title, picture.file)).collect();
    let texts = [("report.md", report.markdown(&links)), ("report.json", json(report)?)];
    for (file, text) in texts.into_iter().chain(pictures.into_iter().map(|picture| (picture.file, picture.svg))) {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(|source| refused(&path, source))?;
    }
    Ok(())
}

fn refused(path: &Path, source: std::io::Error) -> EvalError {
    EvalError::Write { path: path.display().to_string(), source }
}

fn json(report: &Report) -> Result<String, EvalError> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

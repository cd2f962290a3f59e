//! `tamis cache`.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tamis_udfs::cache::{CacheError, CacheInfo, Place, clear, info};

use super::args::CacheCommand;
use super::error::CommandError;
use super::{Ending, block_on, remembered};

/// Runs `tamis cache ...`.
pub(super) fn run(command: CacheCommand) -> Result<Ending, CommandError> {
    let text = match command {
        CacheCommand::Info { path, json } => {
            let place = place(path)?;
            let info = block_on(async move { Ok(info(&place).await?) })?;
            if json { as_json(&info) } else { as_text(&info) }
        }
        CacheCommand::Clear { path, model } => {
            let place = place(path)?;
            let name = place.name().to_string();
            let cleared = block_on(async move { Ok(clear(&place, model.as_deref()).await?) })?;
            format!("removed {} segments, {} from {name}", cleared.segments, size(cleared.bytes))
        }
    };
    writeln!(std::io::stdout(), "{text}").map_err(CommandError::Print)?;
    Ok(Ending::Done)
}

fn place(path: Option<String>) -> Result<Place, CommandError> {
    let path = path.or_else(remembered::default_path).ok_or(CacheError::Off)?;
    Ok(Place::parse(&path)?.ok_or(CacheError::Off)?)
}

fn as_json(info: &CacheInfo) -> String {
    let models = info.models.iter().map(|model| {
        json!({
            "fingerprint": model.fingerprint,
            "entries": model.entries,
            "bytes": model.bytes,
            "segments": model.segments,
            "oldest": model.oldest,
            "newest": model.newest,
        })
    });
    let total = |of: fn(&tamis_udfs::cache::ModelInfo) -> u64| info.models.iter().map(of).sum::<u64>();
    let info = json!({
        "path": info.path,
        "entries": total(|m| m.entries),
        "bytes": total(|m| m.bytes),
        "segments": total(|m| m.segments),
        "models": models.collect::<Vec<_>>(),
    });
    format!("{info:#}")
}

fn as_text(info: &CacheInfo) -> String {
    let mut text = format!("path      {}\nmodels    {}", info.path, info.models.len());
    for model in &info.models {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n\nmodel     {}\nentries   {}\nsize      {}\nsegments  {}\noldest    {}\nnewest    {}",
            model.fingerprint,
            model.entries,
            size(model.bytes),
            model.segments,
            age(model.oldest),
            age(model.newest)
        );
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// How long ago a time was, in the largest unit that leaves a number above one.
fn age(seconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    let age = SystemTime::now().duration_since(then).unwrap_or_default().as_secs();
    match age {
        0..120 => format!("{age} seconds ago"),
        120..7_200 => format!("{} minutes ago", age / 60),
        7_200..172_800 => format!("{} hours ago", age / 3_600),
        _ => format!("{} days ago", age / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_read_well() {
        assert_eq!(
            [size(0), size(1_023), size(1_536), size(1 << 30)],
            ["0 bytes", "1023 bytes", "1.5 KiB", "1024.0 MiB"]
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(age(now - 3_600), "60 minutes ago");
        assert_eq!(age(now - 10 * 86_400), "10 days ago");
        assert_eq!(age(now + 1_000), "0 seconds ago");
    }
}

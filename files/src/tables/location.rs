//! What a table's name says: one file, a folder or a glob, on disk or in an object store.

use datafusion::common::plan_datafusion_err;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::Result;

const GLOB: [char; 3] = ['*', '?', '['];

/// Where a table's files lie.
#[derive(Debug, Clone)]
pub(super) struct TableLocation {
    url: ListingTableUrl,
    is_glob: bool,
}

impl TableLocation {
    /// Parses a path or URL. DataFusion understands globs in paths alone; here they may stand in URLs of stores that can
    /// list, too.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let Some((scheme, rest)) = name.split_once("://") else {
            let path = expand_home(name);
            return Ok(Self { url: ListingTableUrl::parse(&path)?, is_glob: path.contains(GLOB) });
        };
        let is_http = scheme == "http" || scheme == "https";
        let first_special = if is_http { None } else { rest.find(GLOB) };
        let Some(special) = first_special else {
            return Ok(Self { url: ListingTableUrl::parse(name)?, is_glob: false });
        };
        let Some(slash) = rest[..special].rfind('/') else {
            return Err(plan_datafusion_err!("{name}: the bucket's name cannot be a pattern"));
        };
        let folder = ListingTableUrl::parse(format!("{scheme}://{}", &rest[..=slash]))?;
        Ok(Self { url: folder.with_glob(&rest[slash + 1..])?, is_glob: true })
    }

    /// The URL that lists the files.
    pub(super) fn url(&self) -> &ListingTableUrl {
        &self.url
    }

    /// The URL that lists the files.
    pub(super) fn into_url(self) -> ListingTableUrl {
        self.url
    }

    /// Whether the files are named by a pattern.
    pub(super) fn is_glob(&self) -> bool {
        self.is_glob
    }
}

/// Whether a table's name is meant as a file: `FROM captions` is a table that was not found, `FROM 'captions.parquet'`
/// is a file that does not exist.
pub fn looks_like_a_file(name: &str) -> bool {
    is_written_as_a_file(name) || std::path::Path::new(name).exists()
}

/// Whether a table's name is meant as a file, whatever files there are.
pub(super) fn is_written_as_a_file(name: &str) -> bool {
    name.contains(['/', '.', '*', '?', '~'])
}

fn expand_home(path: &str) -> String {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
        _ => path.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_in_urls_are_split_at_their_folder() {
        let location = TableLocation::parse("s3://bucket/a/b-*/part-?.parquet").unwrap();
        assert!(location.is_glob());
        assert_eq!(location.url().as_str(), "s3://bucket/a/");
        assert_eq!(location.url().get_glob().as_ref().unwrap().as_str(), "b-*/part-?.parquet");
        assert!(!TableLocation::parse("s3://bucket/a/x.parquet").unwrap().is_glob());
        assert!(TableLocation::parse("s3://buck*/x").is_err());
    }

    #[test]
    fn a_query_string_of_http_is_no_glob() {
        assert!(!TableLocation::parse("https://host/x.parquet?download=1").unwrap().is_glob());
    }

    #[test]
    fn bare_words_are_table_names() {
        assert!(!looks_like_a_file("no_such_table"));
        assert!(looks_like_a_file("a.csv") && looks_like_a_file("s3://b/x") && looks_like_a_file("*"));
    }
}

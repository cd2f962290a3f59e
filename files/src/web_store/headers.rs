//! What a request asks for, and what an answer tells of a file.

use std::ops::Range;
use std::time::SystemTime;

use http::header::{
    CONTENT_RANGE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, StatusCode};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta};
use tamis_udfs::web::Answer;
use url::Url;

/// The headers of a request for a part of a file, or for all of it, under the conditions that the options set.
pub(super) fn of_request(options: &GetOptions, range: Option<&GetRange>) -> HeaderMap {
    let date = |date: SystemTime| httpdate::fmt_http_date(date);
    let headers: [(HeaderName, Option<String>); 5] = [
        (RANGE, range.map(ToString::to_string)),
        // A weak tag matches nothing here, so the answer's is looked at.
        (IF_MATCH, options.if_match.clone().filter(|tags| !tags.contains("W/"))),
        (IF_NONE_MATCH, options.if_none_match.clone()),
        (IF_UNMODIFIED_SINCE, options.if_unmodified_since.map(|d| date(d.into()))),
        (IF_MODIFIED_SINCE, options.if_modified_since.map(|d| date(d.into()))),
    ];
    let valued = headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value?).ok()?)));
    valued.collect()
}

/// The part of a file that an answer has, and the file's size.
pub(super) struct Part {
    pub(super) range: Range<u64>,
    pub(super) size: u64,
}

/// The part that an answer to a request for one has: `bytes 0-99/1234`. `None` if it has the whole file, or does not tell.
pub(super) fn part(answer: &Answer) -> Option<Part> {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let (range, size) = answer.header(CONTENT_RANGE)?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    Some(Part { range: first..last.checked_add(1)?, size: size.trim().parse().ok()? })
}

/// Whether an answer is a part of which nobody can tell where in the file it lies: a part of what is compressed, or one whose
/// place or whose file's size is not told.
pub(super) fn is_lost_part(answer: &Answer, url: &Url) -> bool {
    answer.status() == StatusCode::PARTIAL_CONTENT && (is_encoded(answer, url) || part(answer).is_none())
}

/// Whether the body is compressed besides what the file's name says: of `x.csv.gz` the encoding is often the file's own.
pub(super) fn is_encoded(answer: &Answer, url: &Url) -> bool {
    let own = match answer.encoding().map(str::to_ascii_lowercase).as_deref() {
        None => return false,
        Some("gzip" | "x-gzip") => ".gz",
        Some("zstd") => ".zst",
        Some(_) => return true,
    };
    !url.path().ends_with(own)
}

/// The size of the file, as far as the answer tells.
pub(super) fn size(answer: &Answer, url: &Url) -> Option<u64> {
    match (is_encoded(answer, url), part(answer)) {
        (true, _) => None,
        (false, Some(part)) => Some(part.size),
        (false, None) => answer.length(),
    }
}

/// What the answer tells of a file whose size is known.
pub(super) fn meta(answer: &Answer, location: &Path, size: u64) -> ObjectMeta {
    let modified = answer.header(LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
    ObjectMeta {
        location: location.clone(),
        last_modified: modified.unwrap_or(SystemTime::UNIX_EPOCH).into(),
        size,
        e_tag: answer.header(ETAG).map(str::to_string),
        version: None,
    }
}

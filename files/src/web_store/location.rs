//! URLs as locations of a store, and back.
//!
//! A [`Path`] has no empty parts, no end in `/` and no query, a URL may have all of them. So what follows a URL's host becomes
//! one part of a path: letters, digits and a few signs stand for themselves, any other byte for `=` and its two hexadecimal
//! digits. `/a//b.csv?x=1` is `=2Fa=2F=2Fb.csv=3Fx=3D1`. None of the characters in it is changed where paths are parsed,
//! encoded or decoded.

use std::fmt::Write;

use object_store::path::Path;
use url::{Position, Url};

/// How each location begins that was made from a URL: with its path's slash.
const BEGINNING: &str = "=2F";

/// What stands for itself besides letters and digits.
const PLAIN: &[u8] = b"-._,:;@+()!$&'";

/// The location of the file behind a URL, in the store of the URL's origin.
pub(crate) fn location_of(url: &Url) -> Path {
    let mut part = String::new();
    for byte in url[Position::BeforePath..Position::AfterQuery].bytes() {
        match byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            true => part.push(char::from(byte)),
            // Writing to a string cannot fail.
            false => _ = write!(part, "={byte:02X}"),
        }
    }
    Path::from(part)
}

/// The URL of a location in the store of an origin: the one that [`location_of`] was given, or else the location as a path.
pub(crate) fn url_of(origin: &Url, location: &Path) -> Url {
    if let Some(target) = decoded(location.as_ref())
        && let Ok(url) = Url::parse(&format!("{}{target}", &origin[..Position::BeforePath]))
    {
        return url;
    }
    let mut url = origin.clone();
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(location.parts());
    }
    url
}

/// What a location's file is called: its path without the query, if it was made from a URL.
pub(crate) fn written_name(location: &Path) -> String {
    match decoded(location.as_ref()) {
        Some(target) => target.split('?').next().unwrap_or_default().to_string(),
        None => location.to_string(),
    }
}

/// The path and query that a location was made from; `None` if it was not made from one.
fn decoded(location: &str) -> Option<String> {
    if !location.starts_with(BEGINNING) || location.contains('/') {
        return None;
    }
    let mut parts = location.split('=');
    let mut target = parts.next()?.to_string();
    for part in parts {
        let byte = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        // URLs are ASCII.
        byte.is_ascii().then(|| target.push(char::from(byte)))?;
        target.push_str(&part[2..]);
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_back_as_it_was() {
        for target in [
            "/",
            "//",
            "/a.parquet",
            "/dir//x.parquet?sig=a%2Fb&e=1+2",
            "/a%2Fb%20c/",
            "/x?",
            "/=2Fa?=&%3D==",
            "/a~b*c|d'e(f)g!h$i&j,k;l:m@n[o]",
            "/gr%C3%BC%C3%9Fe",
        ] {
            let url = Url::parse(&format!("http://host:8080{target}")).unwrap();
            assert_eq!(url.as_str(), format!("http://host:8080{target}"));
            let location = location_of(&url);
            assert_eq!(location.parts().count(), 1, "{location}");
            // As they travel in plans, and as DataFusion makes them from URLs.
            assert_eq!(Path::parse(location.as_ref()).unwrap(), location);
            assert_eq!(Path::from(location.as_ref()), location);
            assert_eq!(Path::from_url_path(location.as_ref()).unwrap(), location);
            assert_eq!(url_of(&Url::parse("http://host:8080").unwrap(), &location), url);
        }
    }

    #[test]
    fn a_fragment_is_left_out_and_an_extension_can_be_seen() {
        let location = location_of(&Url::parse("https://host/data/x.parquet#part").unwrap());
        assert_eq!(location.as_ref(), "=2Fdata=2Fx.parquet");
        assert_eq!(location.extension(), Some("parquet"));
    }

    #[test]
    fn other_locations_are_paths() {
        let origin = Url::parse("http://user@host").unwrap();
        for (location, url) in [
            ("data/x y.parquet", "http://user@host/data/x%20y.parquet"),
            ("", "http://user@host/"),
            ("a=1/b.parquet", "http://user@host/a=1/b.parquet"),
            ("=2", "http://user@host/=2"),
            ("=2Fa/b", "http://user@host/=2Fa/b"),
            ("=2F=G", "http://user@host/=2F=G"),
            ("=2F=FF", "http://user@host/=2F=FF"),
        ] {
            assert_eq!(url_of(&origin, &Path::parse(location).unwrap()).as_str(), url);
        }
    }
}

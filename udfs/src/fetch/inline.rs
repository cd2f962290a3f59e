//! Files that a column holds as text: `data:` URLs, and the base64 of an image.

use std::borrow::Cow;
use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;

use super::MAX_BYTES;

/// How the base64 of images begins: JPEG in both alphabets, PNG, GIF, WebP, BMP, TIFF of both byte orders.
const BEGINNINGS: [&str; 8] = ["/9j/", "_9j_", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0AK"];

/// Nothing shorter is taken for an image: it may be a path.
const SHORTEST_IMAGE: usize = 64;

/// What could be an image and is as long as this is not looked for as a file.
const LONGEST_NAME: usize = 256;

/// The standard alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The file that `value` holds, or why it cannot be decoded; `None` if `value` names a file elsewhere.
pub(super) fn file(value: &str) -> Option<Result<Vec<u8>, String>> {
    let value = value.trim();
    if value.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Some(data_url(&value[5..]));
    }
    if !is_base64_image(value) || (value.len() < LONGEST_NAME && Path::new(value).exists()) {
        return None;
    }
    Some(base64(value.as_bytes()))
}

/// What follows `data:`: a media type, perhaps `;base64`, a comma and the data.
fn data_url(url: &str) -> Result<Vec<u8>, String> {
    let (head, data) = url.split_once(',').ok_or("a data: URL without a comma before its data")?;
    // What follows is the fragment, no part of the data.
    let data = data.split('#').next().unwrap_or(data);
    let data: Cow<'_, [u8]> = percent_decode_str(data).into();
    let encoding = head.rsplit_once(';').map_or("", |(_, last)| last.trim());
    match encoding.eq_ignore_ascii_case("base64") {
        true => base64(&data),
        false => check(data.len()).map(|()| data.into_owned()),
    }
}

/// Decodes base64 of both alphabets, with line breaks in it and with or without its padding.
fn base64(text: &[u8]) -> Result<Vec<u8>, String> {
    check(text.len() / 4 * 3)?;
    let standard = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    });
    BASE64.decode(standard.collect::<Vec<_>>()).map_err(|e| format!("its base64 is damaged: {e}"))
}

fn check(length: usize) -> Result<(), String> {
    match length as u64 > MAX_BYTES {
        true => Err(format!("more than {MAX_BYTES} bytes")),
        false => Ok(()),
    }
}

fn is_base64_image(text: &str) -> bool {
    text.len() >= SHORTEST_IMAGE
        && BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_= \r\n\t".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base64 of the beginning of a PNG.
    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    fn decoded(value: &str) -> Vec<u8> {
        file(value).unwrap().unwrap()
    }

    #[test]
    fn data_urls_of_all_kinds() {
        let bytes = decoded(PNG);
        assert!(bytes.starts_with(b"\x89PNG"));
        let broken = format!("{}\r\n  {}", &PNG[..60], &PNG[60..]);
        let escaped = PNG.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let other = PNG.replace('+', "-").replace('/', "_");
        let bare = PNG.trim_end_matches('=');
        for url in [
            format!("data:image/png;base64,{PNG}"),
            format!("DATA:image/png;charset=x;BASE64,{PNG}#part"),
            format!("data:;base64,{broken}"),
            format!("data:;base64,{escaped}"),
            format!("data:;base64,{other}"),
            format!(" data:;base64,{bare}"),
        ] {
            assert_eq!(decoded(&url), bytes, "{url}");
        }
        assert_eq!(decoded("data:,a%20b+c"), b"a b+c");
        assert_eq!(decoded("data:image/bmp,BM%00%ff"), b"BM\0\xff");
    }

    #[test]
    fn what_is_no_data_url_says_why() {
        assert!(file("data:image/png;base64").unwrap().unwrap_err().contains("without a comma"));
        assert!(file("data:;base64,a!b").unwrap().unwrap_err().contains("base64 is damaged"));
    }

    #[test]
    fn the_base64_of_an_image_is_no_path() {
        let wrapped = format!("{}\n{}", &PNG[..76], &PNG[76..]);
        assert_eq!(decoded(&wrapped), decoded(PNG));
        let jpeg = format!("/9j/{}", "A".repeat(100));
        assert!(decoded(&jpeg).starts_with(b"\xff\xd8\xff"));
        for path in ["iVBORw0KGgo", &PNG[..60], &format!("images/{PNG}"), &format!("{PNG}.png"), "/9j/a.jpg"] {
            assert!(file(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_file_of_that_name_wins_if_it_can_exist() {
        // The folder's name would not be base64: only a relative path is.
        let name = format!("Qk{}", "0".repeat(70));
        std::fs::write(&name, b"file").unwrap();
        let found = file(&name).is_none();
        std::fs::remove_file(&name).unwrap();
        assert!(found);
        assert!(file(&name).is_some());
    }
}

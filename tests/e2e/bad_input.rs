//! Bad rows end nothing, and each says what is wrong with it.

use crate::support::{CAPTIONS, DOCUMENTS, Tamis};

/// Notes of rows that the corpus' maker says cannot be scored begin so.
const UNSCORABLE: &str = "unscorable";

#[test]
fn every_bad_caption_has_a_reason_and_every_other_row_a_score() {
    let query = format!(
        "SELECT uid, note, image IS NULL OR text IS NULL AS missing, unifilter(image, text) AS q, \
         unifilter_error(image, text) AS reason FROM '{CAPTIONS}' WHERE note IS NOT NULL"
    );
    let rows = Tamis::sql([], &query).rows();
    let mut unscorable = 0;
    for row in &rows {
        let bad = row["note"].as_str().is_some_and(|note| note.starts_with(UNSCORABLE));
        if row["missing"] == true {
            assert!(row["q"].is_null() && row["reason"].is_null(), "a NULL argument is no error: {row:?}");
        } else {
            assert_eq!(row["q"].is_null(), bad, "{row:?}");
            assert_eq!(row["reason"].is_string(), bad, "{row:?}");
        }
        unscorable += usize::from(bad);
    }
    assert!(unscorable >= 10, "the corpus has lost its bad rows");
    let bomb = rows.iter().find(|row| row["note"].as_str().is_some_and(|n| n.contains("60000 x 60000")));
    let reason = bomb.and_then(|row| row["reason"].as_str()).unwrap_or_default();
    assert!(reason.contains("tamis.image.max_pixels"), "{reason}");
}

#[test]
fn a_query_can_be_told_to_fail() {
    let query = format!("SELECT unifilter(image, text) FROM '{CAPTIONS}' WHERE note LIKE 'unscorable: JPEG cut off%'");
    let error = Tamis::sql(["--set", "tamis.scoring.on_error=fail"], &query).error();
    assert!(error.contains("jpeg is truncated"), "{error}");
}

#[test]
fn pixels_are_limited_by_an_option() {
    let query = format!("SELECT unifilter_error(image, text) AS e FROM '{CAPTIONS}' WHERE note IS NULL LIMIT 1");
    let rows = Tamis::sql(["--set", "tamis.image.max_pixels=10"], &query).rows();
    assert!(rows[0]["e"].as_str().is_some_and(|e| e.contains("10 pixels that are decoded")), "{rows:?}");
}

#[test]
fn documents_that_cannot_be_scored_say_why() {
    let query = format!(
        "SELECT metadata, images IS NULL OR texts IS NULL AS missing, unifilter(images, texts) AS q, \
         unifilter_error(images, texts) AS reason FROM '{DOCUMENTS}'"
    );
    let rows = Tamis::sql([], &query).rows();
    let reasons: Vec<&str> = rows.iter().filter_map(|row| row["reason"].as_str()).collect();
    for expected in [
        "more than the 10",
        "the two lists must be parallel",
        "no image",
        "image positions",
        "image 1: png is truncated",
    ] {
        assert!(reasons.iter().any(|r| r.contains(expected)), "no document fails with {expected:?}: {reasons:?}");
    }
    for row in &rows {
        match row["missing"] == true {
            true => assert!(row["q"].is_null() && row["reason"].is_null(), "{row:?}"),
            false => assert_ne!(row["q"].is_null(), row["reason"].is_null(), "{row:?}"),
        }
    }
    assert!(rows.iter().filter(|row| !row["q"].is_null()).count() >= 10, "documents with a score");
}

#[test]
fn a_predicate_that_fails_is_not_taken_for_a_damaged_file() {
    // By a filter above the scan, and where the images are read, within it.
    for (columns, expected) in [("uid", "Divide by zero"), ("uid, image", "DivideByZero")] {
        let query = format!("SELECT {columns} FROM '{CAPTIONS}' WHERE 1000 / (width - 96) > 5");
        let error = Tamis::sql([], &query).error();
        assert!(error.contains(expected) && !error.contains("damaged"), "{error}");
    }
}

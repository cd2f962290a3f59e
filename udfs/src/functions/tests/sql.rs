//! The functions in SQL, without the planner's rules: what a query gives that no rule has touched.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::Float32Type;
use arrow::util::pretty::pretty_format_batches;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};
use tamis_models::checkpoint::Location;
use tamis_models::{DeviceChoice, DtypeChoice, Limits, Sample};

use super::{picture, picture_path};
use crate::functions::all;
use crate::options::TamisOptions;

/// A session with the table `pairs`: a good row, one with broken bytes, one without a text.
fn session() -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_option_extension(TamisOptions::default()));
    for function in all() {
        context.register_udf(function.as_ref().clone());
    }
    let image = picture("c16.png");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("uid", Arc::new(StringArray::from(vec!["good", "broken", "untold"]))),
        ("image", Arc::new(BinaryArray::from(vec![&image[..], b"broken", &image[..]]))),
        ("text", Arc::new(StringArray::from(vec![Some("a cat"), Some("a dog"), None]))),
    ];
    context
        .register_batch(
            "pairs",
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap(),
        )
        .unwrap();
    context
}

async fn rows(context: &SessionContext, query: &str) -> Result<Vec<RecordBatch>> {
    context.sql(query).await?.collect().await
}

async fn table(query: &str) -> String {
    pretty_format_batches(&rows(&session(), query).await.unwrap()).unwrap().to_string()
}

async fn error(query: &str) -> String {
    match rows(&session(), query).await {
        Ok(rows) => panic!("{query} gave {rows:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_score_in_sql_is_the_models() {
    let model = tamis_models::load(&Location::default_model(), DeviceChoice::Cpu, DtypeChoice::Auto).unwrap();
    let image = picture("c16.png");
    let sample = model.prepare(&Sample::Pair { image: &image, text: "a cat" }, &Limits::default()).unwrap();
    let expected = model.score(&[sample]).unwrap().scores[0];
    let found = rows(&session(), "SELECT unifilter(image, text) FROM pairs WHERE uid = 'good'").await.unwrap();
    let found = found[0].column(0).as_primitive::<Float32Type>().value(0);
    assert!((found - expected).abs() <= 1e-5, "{found} in SQL, {expected} by the model");
}

#[tokio::test]
async fn files_that_a_text_column_holds_are_scored() {
    let image = STANDARD.encode(picture("c16.png"));
    let query = format!(
        "SELECT unifilter('data:image/png;base64,{image}', text) = unifilter(image, text) AS by_url, \
         unifilter('{image}', text) = unifilter(image, text) AS alone, \
         image_width('{image}') = image_width(image) AS width FROM pairs WHERE uid = 'good'"
    );
    assert_eq!(
        table(&query).await,
        "\
+--------+-------+-------+
| by_url | alone | width |
+--------+-------+-------+
| true   | true  | true  |
+--------+-------+-------+"
    );
}

#[tokio::test]
async fn scores_and_errors_complement_each_other() {
    let query = "SELECT uid, unifilter(image, text) IS NULL AS unscored, \
                 coalesce(unifilter_error(image, text) LIKE 'image: %', false) AS image_is_bad FROM pairs";
    assert_eq!(
        table(query).await,
        "\
+--------+----------+--------------+
| uid    | unscored | image_is_bad |
+--------+----------+--------------+
| good   | false    | false        |
| broken | true     | true         |
| untold | true     | false        |
+--------+----------+--------------+"
    );
}

#[tokio::test]
async fn headers_of_files_by_path() {
    let path = picture_path("c16.png");
    let header = table(&format!(
        "SELECT image_format('{path}') AS format, image_width('{path}') = image_width(image) AS width, \
         image_height('{path}') = image_height(image) AS height FROM pairs WHERE uid = 'good'"
    ))
    .await;
    assert!(header.contains("| png    | true  | true   |"), "{header}");
}

#[tokio::test]
async fn a_document_of_literals() {
    let path = picture_path("c16.png");
    let query = format!("SELECT unifilter(['{path}', NULL], [NULL, 'a cat']) IS NOT NULL AS scored");
    assert!(table(&query).await.contains("| true   |"));
}

#[tokio::test]
async fn a_model_is_chosen_by_a_literal() {
    let query =
        "SELECT unifilter(image, text, 'default') = unifilter(image, text) AS same FROM pairs WHERE uid = 'good'";
    assert!(table(query).await.contains("| true |"));
    let message = error("SELECT unifilter(image, text, uid) FROM pairs").await;
    assert!(message.contains("unifilter: argument 3 (model) must be a string literal"), "{message}");
    let message = error("SELECT unifilter(image, text, './no-such-model') FROM pairs").await;
    assert!(message.contains("./no-such-model"), "{message}");
}

#[tokio::test]
async fn mistakes_are_planning_errors() {
    for (query, expected) in [
        ("SELECT unifilter(image) FROM pairs", "unifilter takes 2 or 3 arguments"),
        ("SELECT unifilter(1, text) FROM pairs", "unifilter: argument 1 (image) is Int64"),
        ("SELECT unifilter_error(image, 2.5) FROM pairs", "unifilter_error: argument 2 (text) is Float64"),
        ("SELECT unifilter(image, text, 7) FROM pairs", "unifilter: argument 3 (model) is Int64"),
        ("SELECT image_width(true)", "image_width: argument 1 (image) is Boolean"),
    ] {
        let planned = session().sql(query).await.map(|_| ());
        let message = planned.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn on_error_fail_names_the_reason() {
    let context = session();
    rows(&context, "SET tamis.scoring.on_error = 'fail'").await.unwrap();
    let message = rows(&context, "SELECT unifilter(image, text) FROM pairs").await.unwrap_err().to_string();
    assert!(message.contains("unifilter: row 1 of a batch cannot be scored: image: "), "{message}");
    rows(&context, "SELECT unifilter(image, text) FROM pairs WHERE uid <> 'broken'").await.unwrap();
}

#[tokio::test]
async fn the_examples_of_the_documentation_run() {
    for function in all() {
        let example = function.documentation().and_then(|d| d.sql_example.clone()).unwrap();
        let queries: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        assert!(!queries.is_empty(), "{example}");
        for query in queries {
            rows(&session(), query).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        }
    }
}

use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

fn config() -> ConfigOptions {
    let mut config = ConfigOptions::new();
    config.extensions.insert(TamisOptions::default());
    config
}

#[test]
fn defaults_of_sample_limits_are_the_models_defaults() {
    assert_eq!(TamisOptions::default().limits(), Limits::default());
}

#[test]
fn every_option_can_be_set_to_what_it_shows() {
    let mut config = config();
    config.set("tamis.model.small", "/models/small").unwrap();
    let entries: Vec<_> = config.entries().into_iter().filter(|e| e.key.starts_with("tamis.")).collect();
    assert_eq!(entries.len(), DEFINITIONS.len() + 1);
    for entry in &entries {
        config.set(&entry.key, entry.value.as_deref().unwrap()).unwrap();
        assert!(!entry.description.is_empty() && !entry.description.ends_with('.'));
    }
    let again: Vec<_> = config.entries().into_iter().filter(|e| e.key.starts_with("tamis.")).collect();
    assert_eq!(again, entries);
}

#[test]
fn values_arrive_in_the_getters() {
    let mut config = config();
    for (key, value) in [
        ("tamis.unifilter.model", "big"),
        ("tamis.unifilter.max_text_tokens", "7"),
        ("tamis.scoring.device", "cuda:3"),
        ("tamis.scoring.dtype", "bf16"),
        ("tamis.scoring.batch_tokens", "99"),
        ("tamis.scoring.on_error", "FAIL"),
        ("tamis.planner.enabled", "false"),
        ("tamis.model.org/a.b", "s3://bucket/x"),
    ] {
        config.set(key, value).unwrap();
    }
    let options = TamisOptions::from_config(&config);
    assert_eq!(options.unifilter_model(), "big");
    assert_eq!(options.limits().max_text_tokens, 7);
    assert_eq!(options.device(), DeviceChoice::Cuda(3));
    assert_eq!(options.dtype(), DtypeChoice::Bf16);
    assert_eq!(options.batch_tokens(), BatchTokens::Count(99));
    assert_eq!(options.on_error(), OnError::Fail);
    assert!(!options.planner_enabled());
    assert_eq!(options.models()["org/a.b"], "s3://bucket/x");
}

#[test]
fn a_bad_key_names_itself_and_what_exists() {
    let message = config().set("tamis.scoring.batch_token", "1").unwrap_err().to_string();
    assert!(message.contains("no session option tamis.scoring.batch_token;"), "{message}");
    assert!(message.contains("tamis.scoring.batch_tokens") && message.contains("tamis.model.NAME"), "{message}");
}

#[test]
fn a_bad_value_names_key_value_and_what_is_accepted() {
    for (key, value, accepted) in [
        ("tamis.scoring.prefetch", "0", "a whole number from 1"),
        ("tamis.scoring.prefetch", "-3", "a whole number from 1"),
        ("tamis.scoring.on_error", "ignore", "null or fail"),
        ("tamis.scoring.device", "gpu", "auto, cpu or cuda:N"),
        ("tamis.scoring.dtype", "f64", "auto, f32, bf16, f16 or int8"),
        ("tamis.scoring.batch_tokens", "many", "auto or a whole number from 1"),
        ("tamis.planner.enabled", "maybe", "true or false"),
        ("tamis.unifilter.model", "", "a text that is not empty"),
        ("tamis.model.x", "", "a folder, an object-store URL or a hub id"),
    ] {
        let message = config().set(key, value).unwrap_err().to_string();
        assert!(message.contains(&format!("{key}: {value:?} is not accepted, expected {accepted}")), "{message}");
    }
}

#[test]
fn a_refused_value_leaves_the_old_one() {
    let mut config = config();
    assert!(config.set("tamis.scoring.prefetch", "none").is_err());
    assert_eq!(TamisOptions::from_config(&config), TamisOptions::default());
}

#[test]
fn options_without_the_extension_are_the_defaults() {
    assert_eq!(TamisOptions::from_config(&ConfigOptions::new()), TamisOptions::default());
}

#[test]
fn auto_batches_suit_the_device() {
    assert!(BatchTokens::Auto.for_device(DeviceChoice::Cuda(0)) > BatchTokens::Auto.for_device(DeviceChoice::Cpu));
    assert_eq!(BatchTokens::Count(5).for_device(DeviceChoice::Cuda(0)), 5);
}

#[test]
fn the_documentation_has_a_line_an_option() {
    let page = docs_markdown();
    assert_eq!(page.lines().count(), 2 + DEFINITIONS.len() + 1);
    assert!(page.contains("| `tamis.unifilter.max_text_tokens` | `75` | a whole number from 1 | A caption is cut"));
}

/// `UPDATE_DOCS=1 cargo test --workspace page_of_options` writes the page anew.
#[test]
fn the_page_of_options_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    let page = format!(
        "# Session options\n\nSet with `SET key = 'value'` in SQL or `--set key=value` on the command line; `SHOW key` tells \
         what holds. DataFusion's own options (`datafusion.*`) work likewise.\n\nThis page is generated from the options' \
         definitions.\n\n{}",
        docs_markdown()
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page, "run the test with UPDATE_DOCS=1");
}

#[tokio::test]
async fn set_and_show_work_in_sql() {
    let config = SessionConfig::new().with_information_schema(true).with_option_extension(TamisOptions::default());
    let context = SessionContext::new_with_config(config);
    context.sql("SET tamis.unifilter.model = '/models/big'").await.unwrap();
    context.sql("SET tamis.scoring.prefetch = 5").await.unwrap();
    for (key, value) in [("tamis.unifilter.model", "/models/big"), ("tamis.scoring.prefetch", "5")] {
        let rows = context.sql(&format!("SHOW {key}")).await.unwrap().collect().await.unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
        assert!(shown.contains(key) && shown.contains(value), "{shown}");
    }
}

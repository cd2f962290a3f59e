//! From the model's name in a query to the place where it lies.

use std::sync::Arc;

use tamis_models::checkpoint::Location;

use crate::error::Error;
use crate::options::TamisOptions;

/// The option's value that stands for the embedded model.
const DEFAULT: &str = "default";

/// Where the model of a call lies: `model` is the call's third argument.
///
/// A name that the session defines (`tamis.model.NAME`) comes before a place of the same spelling. Without an argument the
/// family's option counts, and where that still has its default, a model named like the family. What is no name has to be a
/// place that the session may run models from.
pub(crate) fn resolve(family: &str, model: Option<&str>, options: &TamisOptions) -> Result<Location, Error> {
    let chosen = match family {
        "unifilter" => options.unifilter_model(),
        _ => return Err(Error::UnknownFamily { family: family.to_string() }),
    };
    let name = match model {
        Some(name) => name,
        None if chosen == DEFAULT && options.models().contains_key(family) => family,
        None => &chosen,
    };
    let unknown =
        |source| Error::UnknownModel { name: name.to_string(), known: known(options), source: Arc::new(source) };
    match options.models().get(name) {
        Some(place) => Location::parse(place)
            .map_err(|source| Error::Load { model: format!("{name} ({place})"), source: Arc::new(source) }),
        None => {
            if name != DEFAULT {
                options.reach().may_run(name)?;
            }
            Location::parse(name).map_err(unknown)
        }
    }
}

/// Resolves, and asks whether the place can be read. Loads nothing.
pub(super) fn check(family: &str, model: Option<&str>, options: &TamisOptions) -> Result<Location, Error> {
    let location = resolve(family, model, options)?;
    let is_named = model.is_some_and(|name| options.models().contains_key(name));
    match location.check() {
        Ok(()) => Ok(location),
        Err(source) => Err(match model {
            Some(name) if !is_named => {
                Error::UnknownModel { name: name.to_string(), known: known(options), source: Arc::new(source) }
            }
            _ => Error::Load { model: location.to_string(), source: Arc::new(source) },
        }),
    }
}

fn known(options: &TamisOptions) -> String {
    let names: Vec<&str> = options.models().keys().map(String::as_str).chain([DEFAULT]).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use datafusion::config::ExtensionOptions;

    use super::*;
    use crate::reach::{Reach, Rules};

    fn options(settings: &[(&str, &str)]) -> TamisOptions {
        let mut options = TamisOptions::default();
        for (key, value) in settings {
            options.set(key, value).unwrap();
        }
        options
    }

    fn place(text: &str) -> Location {
        Location::parse(text).unwrap()
    }

    #[test]
    fn without_a_setting_it_is_the_embedded_model() {
        assert_eq!(resolve("unifilter", None, &options(&[])).unwrap(), Location::default_model());
        assert_eq!(resolve("unifilter", Some("default"), &options(&[])).unwrap(), Location::default_model());
        check("unifilter", None, &options(&[])).unwrap();
    }

    #[test]
    fn a_model_named_like_the_family_replaces_the_default() {
        let options = options(&[("model.unifilter", "/models/big")]);
        assert_eq!(resolve("unifilter", None, &options).unwrap(), place("/models/big"));
        assert_eq!(resolve("unifilter", Some("default"), &options).unwrap(), Location::default_model());
    }

    #[test]
    fn the_option_comes_before_the_family_and_the_argument_before_the_option() {
        let options = options(&[
            ("model.unifilter", "/models/a"),
            ("model.b", "/models/b"),
            ("model.c", "/models/c"),
            ("unifilter.model", "b"),
        ]);
        assert_eq!(resolve("unifilter", None, &options).unwrap(), place("/models/b"));
        assert_eq!(resolve("unifilter", Some("c"), &options).unwrap(), place("/models/c"));
        assert_eq!(resolve("unifilter", Some("/elsewhere"), &options).unwrap(), place("/elsewhere"));
    }

    #[test]
    fn a_session_that_may_run_named_models_alone_runs_those() {
        let mut options = options(&[("model.small", "/models/small"), ("unifilter.model", "/models/own")]);
        options.set_reach(Reach::limited(Rules::default()).with_model("/models/own"));
        for model in [None, Some("small"), Some("default"), Some("/models/own")] {
            resolve("unifilter", model, &options).unwrap();
        }
        for model in ["/models/small", "/elsewhere", "s3://models/x", "org/model", "unknown"] {
            let refused = resolve("unifilter", Some(model), &options).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("model {model}: ")) && refused.contains("[access]"), "{refused}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_are_known() {
        let options = options(&[("model.small", "/models/small")]);
        let message = check("unifilter", Some("./no/such/model"), &options).unwrap_err().to_string();
        assert!(
            message.starts_with("model ./no/such/model: not among the session's names (small, default)"),
            "{message}"
        );
        assert!(check("unifilter", Some("small"), &options).unwrap_err().to_string().contains("/models/small"));
        assert!(check("other", None, &options).unwrap_err().to_string().contains("other"));
    }
}

//! What an executor knows better than a query: its devices, its cache, and where its models lie.

use datafusion::error::Result;
use datafusion::prelude::SessionConfig;
use tamis_udfs::options::TamisOptions;
use tamis_udfs::reach;

/// The default model's option, and its value where nobody has chosen one.
const DEFAULT_MODEL: (&str, &str) = ("tamis.unifilter.model", "default");
/// Where scores are remembered.
const CACHE_PATH: &str = "tamis.cache.path";

/// Options that the executor was started with. They come before a query's own, which knows nothing of this machine; but a
/// query that asks for a model gets that one.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnOptions(Vec<(String, String)>);

impl OwnOptions {
    /// Those among `options` that are about this machine.
    pub(super) fn of(options: &[(String, String)]) -> Self {
        let is_own = |key: &str| {
            key.starts_with("tamis.model.")
                || matches!(key, "tamis.scoring.device" | "tamis.scoring.dtype" | "tamis.unifilter.model")
                || key.starts_with("tamis.cache.")
        };
        Self(options.iter().filter(|(key, _)| is_own(key)).cloned().collect())
    }

    /// A task's configuration with these.
    pub(super) fn applied_to(&self, mut config: SessionConfig) -> Result<SessionConfig> {
        let asked = TamisOptions::from_config(config.options());
        let chosen = config.options().entries().into_iter().find(|entry| entry.key == DEFAULT_MODEL.0);
        let has_chosen = chosen.and_then(|entry| entry.value).is_some_and(|value| value != DEFAULT_MODEL.1);
        for (key, value) in &self.0 {
            let is_asked_for = match key.as_str() {
                key if key == DEFAULT_MODEL.0 => has_chosen,
                // A folder of another machine is none of this one's; to remember nothing, or in a store, can be asked for.
                CACHE_PATH => asked.cache_path() == "off" || asked.cache_path().contains("://"),
                _ => false,
            };
            if !is_asked_for {
                config.options_mut().set(key, value)?;
            }
        }
        if let Some((_, place)) = self.0.iter().find(|(key, _)| key == DEFAULT_MODEL.0) {
            let reach = reach::of(&config).with_model(place);
            reach::set(&mut config, reach);
        }
        Ok(config)
    }

    /// The models that the executor was given by name.
    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(key, _)| match key.as_str() {
            key if key == DEFAULT_MODEL.0 => Some("unifilter"),
            key => key.strip_prefix("tamis.model."),
        })
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionConfig;
    use tamis_udfs::reach::Rules;

    use super::*;

    fn applied(own: &[(&str, &str)], asked: &[(&str, &str)]) -> TamisOptions {
        let own: Vec<_> = own.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let mut config = SessionConfig::new().with_option_extension(TamisOptions::default());
        for (key, value) in asked {
            config.options_mut().set(key, value).unwrap();
        }
        TamisOptions::from_config(OwnOptions::of(&own).applied_to(config).unwrap().options())
    }

    #[test]
    fn the_executor_knows_its_models_and_the_query_chooses() {
        let own =
            [("tamis.unifilter.model", "/mine"), ("tamis.model.strict", "/strict"), ("tamis.scoring.prefetch", "1")];
        let options = applied(&own, &[("tamis.model.strict", "/elsewhere"), ("tamis.scoring.prefetch", "7")]);
        assert_eq!(options.unifilter_model(), "/mine");
        assert_eq!(options.models()["strict"], "/strict");
        assert_eq!(options.prefetch(), 7);
        let cache = [("tamis.cache.path", "/mine")];
        for (asked, expected) in [("/theirs", "/mine"), ("off", "off"), ("s3://all/scores", "s3://all/scores")] {
            assert_eq!(applied(&cache, &[("tamis.cache.path", asked)]).cache_path(), expected);
        }
        assert_eq!(applied(&own, &[("tamis.unifilter.model", "strict")]).unifilter_model(), "strict");
        // Its own model may be run by those who may run models with names alone.
        let access = serde_json::to_string(&Rules::default()).unwrap();
        let limited = applied(&own, &[("tamis.access", &access)]);
        assert!(limited.reach().may_run("/mine").is_ok() && limited.reach().may_run("/theirs").is_err());
    }
}

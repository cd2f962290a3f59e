//! What a run would take, without asking anything.

use std::collections::HashSet;

use super::AskSettings;
use crate::SynthesisError;
use crate::prompt::Kind;
use crate::question;
use crate::sample::Usage;
use crate::sources::Sources;

/// What four captions, and four documents, have in tokens as a rule.
const CAPTIONS: u64 = 450;
const DOCUMENTS: u64 = 1_800;

/// What a run would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Rows of different content.
    pub requests: usize,
    /// As a rule.
    pub likely: Usage,
    /// If every answer is as long as it may be.
    pub most: Usage,
    /// Whether the costs are known.
    pub has_price: bool,
}

/// Estimates what asking about all rows would take, from the beginning.
pub fn estimate(settings: &AskSettings, sources: &Sources) -> Result<Estimate, SynthesisError> {
    settings.check()?;
    let (identity, kind) = (settings.identity(), settings.prompt.kind);
    let price = settings.price();
    let longest = u64::from(settings.api.answer_tokens);
    let answer = longest.min(if kind == Kind::Captions { CAPTIONS } else { DOCUMENTS });
    let mut seen = HashSet::new();
    let (mut likely, mut most) = (Usage::default(), Usage::default());
    for row in sources.rows() {
        if seen.insert(question::key(&identity, kind, &row.content, sources)) {
            let input = question::tokens(&settings.prompt, &row.content, sources).map_err(SynthesisError::Image)?;
            likely += price.usage(input, answer);
            most += price.usage(input, longest);
        }
    }
    Ok(Estimate { requests: seen.len(), likely, most, has_price: settings.price.is_some() })
}

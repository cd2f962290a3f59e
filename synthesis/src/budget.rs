//! What may be spent: a request begins only if it cannot go beyond the limits.

use crate::sample::Usage;

/// The price of tokens, in US dollars for a million.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Tokens that the model reads.
    pub input: f64,
    /// Tokens that it writes.
    pub output: f64,
}

impl Price {
    /// The price of a model that is known.
    pub fn of(model: &str) -> Option<Self> {
        let lines = include_str!("../prices.csv").lines().filter(|line| !line.starts_with('#'));
        let mut found = lines.filter_map(|line| {
            let mut parts = line.split(',');
            let (name, input, output) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            is_version_of(model, name).then_some(Self { input, output })
        });
        found.next()
    }

    /// The price in batches.
    pub fn halved(self) -> Self {
        Self { input: self.input / 2.0, output: self.output / 2.0 }
    }

    /// What so many tokens cost.
    pub fn usage(self, input_tokens: u64, output_tokens: u64) -> Usage {
        let cost_usd = (input_tokens as f64 * self.input + output_tokens as f64 * self.output) / 1e6;
        Usage { input_tokens, output_tokens, cost_usd }
    }
}

/// Whether a model's id is a name, or a name with a date.
fn is_version_of(model: &str, name: &str) -> bool {
    match model.strip_prefix(name) {
        Some("" | "-latest") => true,
        Some(rest) => rest
            .strip_prefix('-')
            .is_some_and(|date| date.len() >= 8 && date.chars().all(|c| c.is_ascii_digit() || c == '-')),
        None => false,
    }
}

/// What may be spent over all runs of one journal.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// US dollars.
    pub usd: Option<f64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
}

/// What was spent, and what requests that are under way may take.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    limits: Limits,
    spent: Usage,
    reserved: Usage,
}

impl Budget {
    pub(crate) fn new(limits: Limits, spent: Usage) -> Self {
        Self { limits, spent, reserved: Usage::default() }
    }

    /// What was spent so far.
    pub(crate) fn spent(&self) -> Usage {
        self.spent
    }

    /// Sets aside what a request may take; false if that is more than is left.
    pub(crate) fn reserve(&mut self, most: Usage) -> bool {
        let (mut money, mut tokens) = (most.cost_usd, most.input_tokens + most.output_tokens);
        for part in [self.spent, self.reserved] {
            money += part.cost_usd;
            tokens += part.input_tokens + part.output_tokens;
        }
        if self.limits.usd.is_some_and(|limit| money > limit) || self.limits.tokens.is_some_and(|limit| tokens > limit)
        {
            return false;
        }
        self.reserved += most;
        true
    }

    /// A request that had set `most` aside has taken `actual`.
    pub(crate) fn settle(&mut self, most: Usage, actual: Usage) {
        self.reserved.input_tokens -= most.input_tokens;
        self.reserved.output_tokens -= most.output_tokens;
        self.reserved.cost_usd -= most.cost_usd;
        self.spent += actual;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_those_of_the_model_and_its_dated_versions() {
        assert_eq!(Price::of("claude-sonnet-4-5-20250929"), Some(Price { input: 3.0, output: 15.0 }));
        assert_eq!(Price::of("claude-opus-4-5").unwrap().input, 5.0);
        assert_eq!(Price::of("gpt-4o-2024-08-06").unwrap().output, 10.0);
        for unknown in ["claude-opus-4-99", "gpt-4o-audio", "qwen2.5-vl", ""] {
            assert_eq!(Price::of(unknown), None, "{unknown}");
        }
        assert_eq!(Price { input: 2.0, output: 8.0 }.halved().usage(1_000_000, 500_000).cost_usd, 3.0);
    }

    #[test]
    fn nothing_begins_that_could_go_beyond() {
        let usage = |cost_usd| Usage { input_tokens: 10, output_tokens: 5, cost_usd };
        let mut budget = Budget::new(Limits { usd: Some(1.0), tokens: None }, usage(0.4));
        assert!(budget.reserve(usage(0.5)) && !budget.reserve(usage(0.2)));
        budget.settle(usage(0.5), usage(0.1));
        assert!(budget.reserve(usage(0.5)));
        assert_eq!(budget.spent().input_tokens, 20);
        let mut budget = Budget::new(Limits { usd: None, tokens: Some(30) }, Usage::default());
        assert!(budget.reserve(usage(9.0)) && budget.reserve(usage(9.0)) && !budget.reserve(usage(0.0)));
    }
}

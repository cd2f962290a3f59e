//! Answers as samples.

use std::collections::HashMap;

use crate::Level;
use crate::random::{any, random};
use crate::sample::{Sample, Usage, Words};
use crate::sources::{Content, Source};
use crate::split::Split;
use crate::validation::{Texts, document};

/// The images of documents, by split: those that stand where an answer wants one from somewhere else.
#[derive(Debug, Default)]
pub struct Others {
    images: HashMap<Split, Vec<usize>>,
}

impl Others {
    /// Gathers them.
    pub fn of(rows: &[Source], splits: &[Split]) -> Self {
        let mut images: HashMap<Split, Vec<usize>> = HashMap::new();
        for (row, split) in rows.iter().zip(splits) {
            images.entry(*split).or_default().extend(row.content.images());
        }
        Self { images }
    }
}

/// The samples of an answer: each has a quarter of what it took.
pub fn samples(row: &Source, split: Split, texts: &Texts, usage: Usage, others: &Others, seed: u64) -> Vec<Sample> {
    let own = row.content.images();
    let none = vec![];
    let pool = others.images.get(&split).unwrap_or(&none);
    let random = &mut random(seed, &["other images", &row.uid]);
    let mut other = || (0..20).filter_map(|_| any(random, pool)).find(|image| !own.contains(image)).copied();
    let mut samples = vec![];
    for level in Level::ALL {
        let Some(text) = usize::try_from(level.number()).ok().and_then(|i| texts.get(i)) else { continue };
        let words = match row.content {
            Content::Pair { .. } => Words::Text(text.clone()),
            Content::Document(_) => Words::Document(document(text, &own, &mut other)),
        };
        samples.push(Sample { level, variant: 0, words, changed: None, usage: quarter(usage, samples.len() as u64) });
    }
    samples
}

/// The share of one of four texts; together they are the whole.
fn quarter(usage: Usage, i: u64) -> Usage {
    let part = |n: u64| n / 4 + u64::from(i < n % 4);
    Usage {
        input_tokens: part(usage.input_tokens),
        output_tokens: part(usage.output_tokens),
        cost_usd: usage.cost_usd / 4.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Part;

    #[test]
    fn quarters_are_a_whole_and_other_images_are_others() {
        let usage = Usage { input_tokens: 10, output_tokens: 7, cost_usd: 1.0 };
        let content = Content::Document(vec![Part::Text("t".into()), Part::Image(3)]);
        let row = Source { uid: "a".into(), split: None, content };
        let other = Source { uid: "b".into(), split: None, content: Content::Document(vec![Part::Image(5)]) };
        let splits = [Split::Train, Split::Train];
        let others = Others::of(&[row.clone(), other], &splits);
        let texts = ["x [other image]", "y [image 1]", "z [image 1]", "w [image 1]"].map(str::to_string);
        let made = samples(&row, Split::Train, &texts, usage, &others, 1);
        let mut sum = Usage::default();
        made.iter().for_each(|sample| sum += sample.usage);
        assert_eq!(sum, usage);
        assert_eq!(made[3].words, Words::Document(vec![Part::Text("x".into()), Part::Image(5)]));
        assert_eq!(made[0].words, Words::Document(vec![Part::Text("w".into()), Part::Image(3)]));
    }
}

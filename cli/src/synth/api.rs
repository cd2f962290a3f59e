//! Asking models behind an API, as the flags say.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tamis_synthesis::asking::{Answered, AskSettings, Estimate, Patience, key};
use tamis_synthesis::sources::{Content, Sources};
use tamis_synthesis::{ApiSettings, Kind, Limits, Price, Prompt, Provider};

use super::SynthArgs;
use crate::error::CommandError;

/// What is asked of whom, within which limits.
pub(super) fn settings(
    args: &SynthArgs,
    provider: Provider,
    sources: &Sources,
    output: &str,
) -> Result<AskSettings, CommandError> {
    let api = &args.api;
    let Some(model) = api.provider_model.clone() else {
        return Err(CommandError::Usage(
            "--provider-model: which of the provider's models is to write the texts".into(),
        ));
    };
    let journal = match &api.journal {
        Some(journal) => journal.clone(),
        None if output.contains("://") => {
            return Err(CommandError::Usage(format!(
                "--journal: {output} is not on this machine; name a file that is"
            )));
        }
        None => PathBuf::from(format!("{output}.journal")),
    };
    let is_document = sources.rows().iter().any(|row| matches!(row.content, Content::Document(_)));
    let kind = if is_document { Kind::Documents } else { Kind::Captions };
    let prompt = match &api.prompt {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|source| CommandError::Script { path: file.display().to_string(), source })?;
            Prompt::own(kind, &text)
        }
        None => Prompt::of(kind),
    };
    let given = api.price_in.zip(api.price_out).map(|(input, output)| Price { input, output });
    // A server of one's own may call its model as it likes.
    let known = Price::of(&model).filter(|_| api.endpoint.is_none() || provider == Provider::Anthropic);
    Ok(AskSettings {
        price: given.or(known),
        api: ApiSettings {
            provider,
            endpoint: api.endpoint.clone(),
            model,
            key: key(provider),
            answer_tokens: api.answer_tokens.unwrap_or(if is_document { 8_192 } else { 2_048 }),
            timeout: Duration::from_secs(api.timeout),
            seed: args.seed,
        },
        prompt,
        limits: Limits { usd: api.budget, tokens: api.max_tokens },
        concurrency: api.concurrency as usize,
        in_batches: api.batch,
        journal,
        resume: api.resume,
        patience: Patience {
            poll: Duration::from_secs(api.poll),
            tries: api.tries,
            attempts: api.attempts,
            ..Patience::default()
        },
    })
}

/// Prints what a run would take.
pub(super) fn print_estimate(estimate: &Estimate) -> Result<(), CommandError> {
    let cost = |usd: f64| if estimate.has_price { format!("${usd:.2}") } else { "unknown".into() };
    let (likely, most) = (estimate.likely, estimate.most);
    writeln!(
        std::io::stdout(),
        "requests       {}\ninput tokens   {}\noutput tokens  {} (at most {})\ncost           {} (at most {})",
        estimate.requests,
        likely.input_tokens,
        likely.output_tokens,
        most.output_tokens,
        cost(likely.cost_usd),
        cost(most.cost_usd),
    )
    .map_err(CommandError::Print)
}

/// What a run took, in a line.
pub(super) fn told(answered: &Answered) -> String {
    let (spent, rows) = (answered.spent, answered.answers.iter().flatten().count());
    format!(
        "{rows} rows have texts; {} requests now; in all {} tokens read, {} written, ${:.4}",
        answered.requests, spent.input_tokens, spent.output_tokens, spent.cost_usd
    )
}

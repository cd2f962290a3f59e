//! Predicates: what is cheap runs before the model, and each model sees only what the one before it let through.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};

use super::available::Scored;
use super::call::{ModelCall, calls_a_model};
use super::rewrite::Extraction;

impl Extraction {
    /// Keeps the rows of `input` for which `predicate` holds.
    ///
    /// ```text
    /// Filter: c = 'de' AND f(a) > 2 AND g(b) > 1      Filter: __g_2 > 1
    ///   input                                           ScoreNode: g(b) AS __g_2
    ///                                          =>         Filter: __f_1 > 2
    ///                                                       ScoreNode: f(a) AS __f_1
    ///                                                         Filter: c = 'de'
    ///                                                           input
    /// ```
    pub(super) fn apply_predicate(&mut self, mut input: Scored, predicate: Expr) -> Result<Scored> {
        if !calls_a_model(&predicate) {
            return filter(input, vec![predicate]);
        }
        let mut waiting = split_conjunction_owned(predicate);
        while let Some(call) = next_call(&waiting, &input)? {
            let mut later = vec![];
            let mut now = vec![];
            for conjunct in waiting {
                match can_run_first(&conjunct, &input)? {
                    true => now.push(self.replace(conjunct, &mut input)?),
                    false => later.push(conjunct),
                }
            }
            waiting = later;
            input = filter(input, now)?;
            if !self.add_score_node(&mut input, &call)? {
                break;
            }
        }
        let rest = waiting.into_iter().map(|conjunct| self.replace(conjunct, &mut input)).collect::<Result<_>>()?;
        filter(input, rest)
    }
}

/// The first call of the conjunct that waits for the fewest calls.
fn next_call(conjuncts: &[Expr], input: &Scored) -> Result<Option<ModelCall>> {
    let mut best: Option<Vec<ModelCall>> = None;
    for conjunct in conjuncts {
        let missing = missing_calls(conjunct, input)?;
        if !missing.is_empty() && best.as_ref().is_none_or(|best| missing.len() < best.len()) {
            best = Some(missing);
        }
    }
    Ok(best.and_then(|calls| calls.into_iter().next()))
}

/// Whether `conjunct` may and should run below the next score node.
///
/// Conjuncts over columns of an outer query stay above: decorrelation cannot look through an extension node. So do
/// model calls that no node can make.
fn can_run_first(conjunct: &Expr, input: &Scored) -> Result<bool> {
    if conjunct.contains_outer() {
        return Ok(false);
    }
    Ok(!calls_a_model(conjunct) || only_known_calls(conjunct, input)?)
}

/// Whether every model call in `conjunct` has its score among the columns of `input`.
fn only_known_calls(conjunct: &Expr, input: &Scored) -> Result<bool> {
    let mut known = true;
    conjunct.apply(|expr| {
        if super::call::function_of(expr).is_some() {
            let call = ModelCall::of(expr, input.schema())?;
            known &= call.is_some_and(|(call, output)| input.column(&call, output).is_some());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(known)
}

/// The calls in `expr` that a node could make and whose scores `input` lacks; of nested calls, the inner ones.
fn missing_calls(expr: &Expr, input: &Scored) -> Result<Vec<ModelCall>> {
    let mut calls = vec![];
    collect_missing(expr, input, &mut calls)?;
    Ok(calls)
}

fn collect_missing(expr: &Expr, input: &Scored, calls: &mut Vec<ModelCall>) -> Result<()> {
    if matches!(expr, Expr::Lambda(_)) {
        return Ok(());
    }
    let before = calls.len();
    expr.apply_children(|child| {
        collect_missing(child, input, calls)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if calls.len() > before {
        return Ok(());
    }
    if let Some((call, output)) = ModelCall::of(expr, input.schema())?
        && input.column(&call, output).is_none()
        && !calls.contains(&call)
    {
        calls.push(call);
    }
    Ok(())
}

fn filter(input: Scored, conjuncts: Vec<Expr>) -> Result<Scored> {
    let Some(predicate) = conjunction(conjuncts) else { return Ok(input) };
    let Scored { plan, available } = input;
    Ok(Scored { plan: LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?), available })
}

//! Predicates: what is cheap runs before the model, and each model sees only what the one before it let through.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Operator};

use super::super::columns::calls_a_model;
use super::available::Scored;
use super::call::{call_of, function_of};
use super::reach::Reach;
use super::replace::missing_calls;
use super::rewrite::Extraction;

impl Extraction<'_> {
    /// Keeps the rows of `input` for which `predicate` holds. Of the conjuncts that call models, the one that rejects
    /// rows at the least cost comes first.
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
        while let Some(next) = self.next_conjunct(&waiting, &input)? {
            let mut chosen = waiting.remove(next);
            let mut later = vec![];
            let mut now = vec![];
            let mut place = next;
            for (index, conjunct) in waiting.into_iter().enumerate() {
                if can_run_first(&conjunct, &input)? {
                    place -= usize::from(index < next);
                    now.push(self.replace(conjunct, &mut input)?);
                } else {
                    later.push(conjunct);
                }
            }
            input = filter(input, now)?;
            let changes = self.changes();
            chosen = self.replace(chosen, &mut input)?;
            later.insert(place, chosen);
            waiting = later;
            if self.changes() == changes {
                break;
            }
        }
        let rest = self.replace_all(waiting, &mut input)?;
        let mut filtered = filter(input, rest)?;
        filtered.settle();
        Ok(filtered)
    }

    /// The conjunct that should run next among those that lack a score: the one that rejects a row at the least cost.
    fn next_conjunct(&self, conjuncts: &[Expr], input: &Scored) -> Result<Option<usize>> {
        let mut candidates = vec![];
        for (index, conjunct) in conjuncts.iter().enumerate() {
            let missing = missing_calls(conjunct, input)?;
            if !missing.is_empty() {
                candidates.push((index, conjunct, missing));
            }
        }
        let ranks = self
            .costs
            .ranks(Operator::And, candidates.iter().map(|(_, conjunct, missing)| (*conjunct, missing.as_slice())));
        let best = candidates.iter().zip(ranks).min_by(|(_, a), (_, b)| a.total_cmp(b));
        Ok(best.map(|((index, _, _), _)| *index))
    }
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
        if function_of(expr).is_some() {
            let call = call_of(expr, input.schema())?;
            known &= call.is_some_and(|(call, output)| input.column(&call, output, &Reach::All).is_some());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(known)
}

fn filter(input: Scored, conjuncts: Vec<Expr>) -> Result<Scored> {
    let Some(predicate) = conjunction(conjuncts) else { return Ok(input) };
    let Scored { plan, available } = input;
    Ok(Scored { plan: LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?), available })
}

//! Rewriting a plan node by node, inputs first.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, Limit, LogicalPlan, Projection, Sort, SubqueryAlias, Window,
};

use super::available::{PassThrough, Score, Scored};
use super::call::{ModelCall, qualified};
use super::costs::Costs;
use super::reach::Reach;
use crate::rules::hidden_names::HiddenNames;
use crate::{ScoreColumns, ScoreNode};

/// One run of the rule over one plan.
#[derive(Debug)]
pub(super) struct Extraction<'a> {
    pub(super) costs: &'a Costs,
    names: HiddenNames,
    /// The families of which some function asks for errors: their nodes get an error column.
    with_errors: HashSet<&'static str>,
    changes: usize,
}

impl<'a> Extraction<'a> {
    pub(super) fn new(costs: &'a Costs, names: HiddenNames, with_errors: HashSet<&'static str>) -> Self {
        Self { costs, names, with_errors, changes: 0 }
    }

    /// The columns of the next node.
    fn new_columns(&mut self, family: &str) -> ScoreColumns {
        let (score, error) = self.names.next_pair(family, &format!("{family}_error"));
        ScoreColumns { score, error: Some(error) }
    }

    /// How many expressions were changed so far.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    pub(super) fn note_changes(&mut self, changes: usize) {
        self.changes += changes;
    }

    /// Rewrites `plan` to one with its very columns: what a parent that is sensitive to further ones gets.
    pub(super) fn rewrite_trimmed(&mut self, plan: LogicalPlan) -> Result<Scored> {
        let schema = Arc::clone(plan.schema());
        trim(self.rewrite(plan)?, &schema)
    }

    /// Rewrites `plan`, its inputs and its subqueries. The result has the columns of `plan` and perhaps hidden ones.
    pub(super) fn rewrite(&mut self, plan: LogicalPlan) -> Result<Scored> {
        let plan = plan.map_subqueries(|subquery| self.rewrite_inputs(subquery).map(Transformed::yes))?.data;
        match plan {
            LogicalPlan::Filter(filter) => {
                let input = self.rewrite(Arc::unwrap_or_clone(filter.input))?;
                self.apply_predicate(input, filter.predicate)
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Limit(Limit { skip, fetch, input }) => {
                let Scored { plan, available } = self.rewrite(Arc::unwrap_or_clone(input))?;
                let plan = LogicalPlan::Limit(Limit { skip, fetch, input: Arc::new(plan) });
                Ok(Scored { plan, available })
            }
            LogicalPlan::SubqueryAlias(alias) => self.subquery_alias(alias),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Scored { plan, available } = self.rewrite_trimmed(Arc::unwrap_or_clone(input))?;
                Ok(Scored { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), available })
            }
            LogicalPlan::TableScan(scan) => Ok(Scored::bare(self.table_scan(scan)?)),
            plan => match ScoreNode::downcast(&plan).cloned() {
                Some(node) => self.score_node(node),
                None => Ok(Scored::bare(self.rewrite_inputs(plan)?)),
            },
        }
    }

    /// Rewrites the inputs of a node of which nothing is known but that it wants its very columns.
    fn rewrite_inputs(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(plan.map_children(|input| Ok(Transformed::yes(self.rewrite_trimmed(input)?.plan)))?.data)
    }

    /// Puts a score node for `call` on `input`, for the rows of `reach`. Not on a plan that still refers to columns of an
    /// outer query: decorrelation cannot look through an extension node. The calls there are found in the next pass,
    /// after it.
    pub(super) fn add_score_node(&mut self, input: &mut Scored, call: &ModelCall, reach: &Reach) -> Result<bool> {
        let when = match reach.condition() {
            Some(condition) => match qualified(condition, input.schema()) {
                Some(condition) => Some(condition),
                None => return Ok(false),
            },
            None => None,
        };
        if !input.plan.all_out_ref_exprs().is_empty() {
            return Ok(false);
        }
        let columns = self.new_columns(&call.family);
        let wants_error = self.with_errors.contains(call.family.as_str());
        let columns = ScoreColumns { error: columns.error.filter(|_| wants_error), ..columns };
        let plan = std::mem::take(&mut input.plan);
        input.plan = ScoreNode::try_new(plan, call.clone(), columns.clone())?.with_when(when)?.into_plan();
        input.available.push(Score::new(call.clone(), reach.clone(), &columns));
        Ok(true)
    }

    /// A score node of an earlier run offers its columns like one of this run.
    fn score_node(&mut self, node: ScoreNode) -> Result<Scored> {
        let Scored { plan, available } = self.rewrite(node.input().clone())?;
        let call = node.call().map_args(|arg| qualified(arg, plan.schema()));
        let (columns, for_all) = (node.columns().clone(), node.when().is_none());
        let mut scored = Scored { plan: node.with_input(plan)?.into_plan(), available };
        scored.available = scored.available_in(scored.schema());
        if let Some(call) = call.filter(|_| for_all) {
            let score = Score::new(call, Reach::All, &columns);
            let schema = scored.schema();
            let same = |column: &Column| schema.has_column(column).then(|| column.clone());
            let score = score.map_columns(same);
            scored.available.extend(score);
        }
        Ok(scored)
    }

    fn projection(&mut self, projection: Projection) -> Result<Scored> {
        let mut input = self.rewrite(Arc::unwrap_or_clone(projection.input))?;
        let mut exprs = self.replace_all_named(projection.expr, &mut input)?;
        input.settle();
        let Scored { plan, available } = input;
        let pass = PassThrough::new(&exprs, plan.schema(), &projection.schema);
        let available = available
            .into_iter()
            .filter_map(|score| {
                let call = pass.call(&score.call)?;
                let mut carry = |column: Column| {
                    let expr = Expr::Column(column.clone());
                    pass.column(&expr).unwrap_or_else(|| {
                        exprs.push(expr);
                        column
                    })
                };
                Some(Score { call, reach: score.reach, score: carry(score.score), error: score.error.map(carry) })
            })
            .collect();
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
        Ok(Scored { plan, available })
    }

    fn sort(&mut self, sort: Sort) -> Result<Scored> {
        let mut input = self.rewrite(Arc::unwrap_or_clone(sort.input))?;
        let expr = self.replace_sort(sort.expr, &mut input)?;
        input.settle();
        let Scored { plan, available } = input;
        let plan = LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: sort.fetch });
        Ok(Scored { plan, available })
    }

    fn subquery_alias(&mut self, alias: SubqueryAlias) -> Result<Scored> {
        let Scored { plan, available } = self.rewrite(Arc::unwrap_or_clone(alias.input))?;
        let input_schema = Arc::clone(plan.schema());
        let alias = SubqueryAlias::try_new(Arc::new(plan), alias.alias)?;
        let renamed = |column: &Column| {
            input_schema.maybe_index_of_column(column).map(|index| Column::from(alias.schema.qualified_field(index)))
        };
        let available = available.iter().filter_map(|score| score.map_columns(renamed)).collect();
        Ok(Scored { plan: LogicalPlan::SubqueryAlias(alias), available })
    }

    fn window(&mut self, window: Window) -> Result<Scored> {
        let mut input = self.rewrite(Arc::unwrap_or_clone(window.input))?;
        let exprs = self.replace_all_named(window.window_expr, &mut input)?;
        input.settle();
        let Scored { plan, available } = input;
        let plan = LogicalPlan::Window(Window::try_new(exprs, Arc::new(plan))?);
        Ok(Scored { plan, available })
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Result<Scored> {
        let mut input = self.rewrite(Arc::unwrap_or_clone(aggregate.input))?;
        // The names of a grouping set's columns are those of the expressions inside it, where no alias can stand.
        let grouping_set = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
        let group_expr = match grouping_set {
            true => aggregate.group_expr,
            false => self.replace_all_named(aggregate.group_expr, &mut input)?,
        };
        let aggr_expr = self.replace_all_named(aggregate.aggr_expr, &mut input)?;
        input.settle();
        if grouping_set {
            let plan = Aggregate::try_new_with_schema(Arc::new(input.plan), group_expr, aggr_expr, aggregate.schema)?;
            return Ok(Scored::bare(LogicalPlan::Aggregate(plan)));
        }
        let (hidden, available) = self.carry_over_groups(&input, &group_expr, &aggregate.schema);
        let input = Arc::new(input.plan);
        let plan = match hidden.is_empty() {
            true => Aggregate::try_new_with_schema(input, group_expr, aggr_expr, aggregate.schema)?,
            false => Aggregate::try_new(input, group_expr, [aggr_expr, hidden].concat())?,
        };
        Ok(Scored { plan: LogicalPlan::Aggregate(plan), available })
    }

    /// The scores that hold for a group, as its arguments are group keys, and the further aggregates that bring them
    /// up. Rows of a group may differ in a score's last digits, which depend on the batch: one of them is taken.
    fn carry_over_groups(&mut self, input: &Scored, keys: &[Expr], output: &DFSchema) -> (Vec<Expr>, Vec<Score>) {
        let pass = PassThrough::new(keys, input.schema(), output);
        let correlated = !input.plan.all_out_ref_exprs().is_empty();
        let mut hidden = vec![];
        let mut available = vec![];
        for score in &input.available {
            let Some(call) = pass.call(&score.call).filter(|_| !keys.is_empty() && !correlated) else { continue };
            let names = self.new_columns(&call.family);
            let mut carry = |column: &Column, name: String| {
                pass.column(&Expr::Column(column.clone())).unwrap_or_else(|| {
                    hidden.push(max(Expr::Column(column.clone())).alias(&name));
                    Column::new_unqualified(name)
                })
            };
            let error = score.error.as_ref().zip(names.error).map(|(error, name)| carry(error, name));
            available.push(Score { call, reach: Reach::All, score: carry(&score.score, names.score), error });
        }
        (hidden, available)
    }

    fn distinct_on(&mut self, distinct: DistinctOn) -> Result<Scored> {
        let mut input = self.rewrite(Arc::unwrap_or_clone(distinct.input))?;
        let on = self.replace_all(distinct.on_expr, &mut input)?;
        let select = self.replace_all_named(distinct.select_expr, &mut input)?;
        let sort = distinct.sort_expr.map(|sort| self.replace_sort(sort, &mut input)).transpose()?;
        input.settle();
        let available = visible(&input, &select, &distinct.schema);
        let distinct = DistinctOn::try_new(on, select, sort, Arc::new(input.plan))?;
        Ok(Scored { plan: LogicalPlan::Distinct(Distinct::On(distinct)), available })
    }
}

/// The scores of `input` that a node which computes `exprs` shows among its columns.
fn visible(input: &Scored, exprs: &[Expr], output: &DFSchema) -> Vec<Score> {
    let pass = PassThrough::new(exprs, input.schema(), output);
    let column = |column: &Column| pass.column(&Expr::Column(column.clone()));
    input
        .available
        .iter()
        .filter_map(|score| {
            let call = pass.call(&score.call)?;
            let reach = score.reach.clone();
            Some(Score { call, reach, score: column(&score.score)?, error: score.error.as_ref().and_then(column) })
        })
        .collect()
}

/// `scored` without the columns that `schema` does not have.
pub(super) fn trim(scored: Scored, schema: &DFSchema) -> Result<Scored> {
    if scored.schema().fields().len() == schema.fields().len() {
        return Ok(scored);
    }
    let available = scored.available_in(schema);
    let plan = match scored.plan {
        // Hidden columns stand behind the original ones.
        LogicalPlan::Projection(Projection { mut expr, input, .. }) => {
            expr.truncate(schema.fields().len());
            Projection::try_new(expr, input)?
        }
        plan => Projection::try_new(schema.iter().map(Expr::from).collect(), Arc::new(plan))?,
    };
    Ok(Scored { plan: LogicalPlan::Projection(plan), available })
}

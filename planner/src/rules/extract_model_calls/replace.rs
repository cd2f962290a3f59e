//! Replacing the calls of one node's expressions by columns of its input.

use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Case, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, SortExpr, binary_expr};

use super::super::columns::calls_a_model;
use super::available::Scored;
use super::call::{ModelCall, call_of};
use super::reach::{Reach, all_null, branch, operands, undecided};
use super::rewrite::Extraction;

impl Extraction<'_> {
    /// Replaces the calls of `exprs`, which one node evaluates over `input`, by columns of `input`, which gets a score
    /// node for each call that it lacks.
    ///
    /// What a node cannot evaluate stays as it is.
    pub(super) fn replace_all(&mut self, exprs: Vec<Expr>, input: &mut Scored) -> Result<Vec<Expr>> {
        // First what all rows need: a part that some rows reach then finds it.
        for expr in exprs.iter().filter(|expr| calls_a_model(expr)) {
            self.add_unconditional(expr, input)?;
        }
        exprs.into_iter().map(|expr| self.replace_reached(expr, input, &Reach::All)).collect()
    }

    /// [`Self::replace_all`] for one expression.
    pub(super) fn replace(&mut self, expr: Expr, input: &mut Scored) -> Result<Expr> {
        self.add_unconditional(&expr, input)?;
        self.replace_reached(expr, input, &Reach::All)
    }

    /// [`Self::replace_all`] for expressions whose names are seen in the output.
    pub(super) fn replace_all_named(&mut self, exprs: Vec<Expr>, input: &mut Scored) -> Result<Vec<Expr>> {
        let preserver = NamePreserver::new_for_projection();
        let names: Vec<_> = exprs.iter().map(|expr| preserver.save(expr)).collect();
        let replaced = self.replace_all(exprs, input)?;
        Ok(names.into_iter().zip(replaced).map(|(name, expr)| name.restore(expr)).collect())
    }

    pub(super) fn replace_sort(&mut self, exprs: Vec<SortExpr>, input: &mut Scored) -> Result<Vec<SortExpr>> {
        let keys = exprs.iter().map(|sort| sort.expr.clone()).collect();
        let keys = self.replace_all(keys, input)?;
        Ok(exprs.into_iter().zip(keys).map(|(sort, expr)| SortExpr { expr, ..sort }).collect())
    }

    /// Adds score nodes for the calls of `expr` that every row reaches.
    fn add_unconditional(&mut self, expr: &Expr, input: &mut Scored) -> Result<()> {
        if matches!(expr, Expr::Lambda(_)) || !calls_a_model(expr) {
            return Ok(());
        }
        for part in self.unconditional_parts(expr, input)? {
            self.add_unconditional(part, input)?;
        }
        if let Some((call, output)) = call_of(expr, input.schema())?
            && input.column(&call, output, &Reach::All).is_none()
        {
            self.add_score_node(input, &call, &Reach::All)?;
        }
        Ok(())
    }

    fn replace_reached(&mut self, expr: Expr, input: &mut Scored, reach: &Reach) -> Result<Expr> {
        if matches!(expr, Expr::Lambda(_)) || !calls_a_model(&expr) {
            return Ok(expr);
        }
        let expr = match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => {
                let Some((op, parts)) = operands(&expr) else { return Ok(expr) };
                self.replace_operands(op, parts.into_iter().cloned().collect(), input, reach)?
            }
            Expr::Case(case) => Expr::Case(self.replace_case(case, input, reach)?),
            Expr::ScalarFunction(function) if is_conditional(&function) => {
                Expr::ScalarFunction(self.replace_null_chain(function, input, reach)?)
            }
            Expr::AggregateFunction(aggregate) if aggregate.params.filter.is_some() => {
                Expr::AggregateFunction(self.replace_filtered(aggregate, input, reach)?)
            }
            expr => expr.map_children(|child| self.replace_reached(child, input, reach).map(Transformed::yes))?.data,
        };
        let Some((call, output)) = call_of(&expr, input.schema())? else { return Ok(expr) };
        if input.column(&call, output, reach).is_none()
            && (*reach == Reach::Untold || !self.add_score_node(input, &call, reach)?)
        {
            return Ok(expr);
        }
        let Some(column) = input.column(&call, output, reach).cloned() else { return Ok(expr) };
        self.note_changes(1);
        Ok(Expr::Column(column))
    }

    /// Replaces the operands of one chain of AND or OR. Those that call models need the rows that no cheap one has
    /// decided, and, one after the other, none before them.
    fn replace_operands(
        &mut self,
        op: Operator,
        mut parts: Vec<Expr>,
        input: &mut Scored,
        reach: &Reach,
    ) -> Result<Expr> {
        let mut reach = undecided(reach, op, &parts.iter().collect::<Vec<_>>());
        for place in self.in_order(op, &parts.iter().collect::<Vec<_>>(), input)? {
            parts[place] = self.replace_reached(parts[place].clone(), input, &reach)?;
            reach = undecided(&reach, op, &[&parts[place]]);
        }
        let whole = parts.into_iter().reduce(|left, right| binary_expr(left, op, right));
        whole.ok_or_else(|| internal_datafusion_err!("a chain of {op} without operands"))
    }

    /// The places of those operands that call models: first the one that decides a row at the least cost.
    fn in_order(&self, op: Operator, parts: &[&Expr], input: &Scored) -> Result<Vec<usize>> {
        let mut calling = vec![];
        for (place, part) in parts.iter().enumerate().filter(|(_, part)| calls_a_model(part)) {
            calling.push((place, *part, missing_calls(part, input)?));
        }
        let ranks = self.costs.ranks(op, calling.iter().map(|(_, part, missing)| (*part, missing.as_slice())));
        let mut ranked: Vec<_> = calling.iter().map(|(place, _, _)| *place).zip(ranks).collect();
        ranked.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        Ok(ranked.into_iter().map(|(place, _)| place).collect())
    }

    /// The parts of `expr` that every row needs that needs `expr`.
    fn unconditional_parts<'a>(&self, expr: &'a Expr, input: &Scored) -> Result<Vec<&'a Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => match operands(expr) {
                Some((op, parts)) if undecided(&Reach::All, op, &parts) == Reach::All => {
                    let first = self.in_order(op, &parts, input)?.first().copied();
                    first.map(|place| parts[place]).into_iter().collect()
                }
                _ => vec![],
            },
            Expr::Case(case) => {
                case.expr.iter().chain(case.when_then_expr.first().map(|(when, _)| when)).map(|e| &**e).collect()
            }
            Expr::ScalarFunction(function) if is_conditional(function) => function.args.first().into_iter().collect(),
            Expr::AggregateFunction(AggregateFunction { params, .. }) if params.filter.is_some() => {
                params.filter.iter().map(|filter| &**filter).collect()
            }
            _ => {
                let mut parts = vec![];
                expr.apply_children(|part| {
                    parts.push(part);
                    Ok(TreeNodeRecursion::Continue)
                })?;
                parts
            }
        })
    }

    fn replace_case(&mut self, case: Case, input: &mut Scored, reach: &Reach) -> Result<Case> {
        let base = case.expr.map(|base| self.replace_reached(*base, input, reach)).transpose()?;
        let mut conditions: Vec<Expr> = vec![];
        let mut arms = vec![];
        for (when, then) in case.when_then_expr {
            let reached = branch(reach, base.as_ref(), &conditions, conditions.len(), false);
            conditions.push(self.replace_reached(*when, input, &reached)?);
            let taken = branch(reach, base.as_ref(), &conditions, conditions.len() - 1, true);
            arms.push(Box::new(self.replace_reached(*then, input, &taken)?));
        }
        let otherwise = branch(reach, base.as_ref(), &conditions, conditions.len(), false);
        let else_expr = case.else_expr.map(|expr| self.replace_reached(*expr, input, &otherwise)).transpose()?;
        let when_then_expr = conditions.into_iter().map(Box::new).zip(arms).collect();
        Ok(Case { expr: base.map(Box::new), when_then_expr, else_expr: else_expr.map(Box::new) })
    }

    /// `max(a) FILTER (WHERE b)` needs `a` where `b` is true.
    fn replace_filtered(
        &mut self,
        aggregate: AggregateFunction,
        input: &mut Scored,
        reach: &Reach,
    ) -> Result<AggregateFunction> {
        let AggregateFunction { func, mut params } = aggregate;
        let filter = params.filter.take().map(|filter| self.replace_reached(*filter, input, reach)).transpose()?;
        let counted = match filter.clone().map(|filter| reach.and(filter.is_true())) {
            None | Some(Reach::Untold) => reach.clone(),
            Some(counted) => counted,
        };
        let args = params.args.into_iter().map(|arg| self.replace_reached(arg, input, &counted));
        params.args = args.collect::<Result<_>>()?;
        let mut order_by = vec![];
        for sort in params.order_by {
            order_by.push(SortExpr { expr: self.replace_reached(sort.expr, input, &counted)?, ..sort });
        }
        params.order_by = order_by;
        params.filter = filter.map(Box::new);
        Ok(AggregateFunction { func, params })
    }

    /// `coalesce(a, b, c)` needs `b` where `a` is NULL; `nvl` and `nvl2` likewise.
    fn replace_null_chain(
        &mut self,
        function: ScalarFunction,
        input: &mut Scored,
        reach: &Reach,
    ) -> Result<ScalarFunction> {
        let ScalarFunction { func, args } = function;
        let is_choice = func.name() == "nvl2";
        let mut replaced: Vec<Expr> = vec![];
        for (place, arg) in args.into_iter().enumerate() {
            let reached = match (is_choice, place) {
                (true, 1) => reach.and(replaced[0].clone().is_not_null()),
                (true, 2) => all_null(reach, &replaced[..1]),
                _ => all_null(reach, &replaced),
            };
            replaced.push(self.replace_reached(arg, input, &reached)?);
        }
        Ok(ScalarFunction { func, args: replaced })
    }
}

/// Whether a function evaluates its further arguments for some rows only.
fn is_conditional(function: &ScalarFunction) -> bool {
    matches!(function.func.name(), "coalesce" | "nvl" | "nvl2")
}

/// The calls that a score node of `input` could make for `expr` and has not made, whoever reaches them; of nested calls
/// the inner ones.
pub(super) fn missing_calls(expr: &Expr, input: &Scored) -> Result<Vec<ModelCall>> {
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
    if let Some((call, output)) = call_of(expr, input.schema())?
        && input.column(&call, output, &Reach::All).is_none()
        && !calls.contains(&call)
    {
        calls.push(call);
    }
    Ok(())
}

//! Which rows reach a part of an expression.
//!
//! `width < 100 OR f(x) >= 2` needs `f` only where `width < 100` is not true, a branch of CASE only where its condition
//! holds. A call's reach becomes the condition of its score node.

use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};

use super::super::columns::calls_a_model;
use super::call::is_plain;

/// The rows that reach an expression, among those of the node that evaluates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of them.
    All,
    /// Those for which this is true. It has no NULLs.
    When(Expr),
    /// Some, and there is no expression that tells which: a volatile one would tell something else each time.
    Untold,
}

impl Reach {
    /// Those of these rows for which `condition`, which has no NULLs, is true.
    ///
    /// A CASE, as it alone promises that `condition` is not evaluated for other rows, for which it might fail. Its
    /// outcomes are numbers: DataFusion makes a CASE of booleans into ANDs and ORs, which promise nothing.
    pub(super) fn and(&self, condition: Expr) -> Self {
        match self {
            _ if !is_tellable(&condition) => Self::Untold,
            Self::All => Self::When(condition),
            Self::When(outer) => {
                let inner = case(None, vec![(condition, lit(1))], lit(0));
                Self::When(case(None, vec![(outer.clone(), inner)], lit(0)).gt(lit(0)))
            }
            Self::Untold => Self::Untold,
        }
    }

    /// The condition of a score node for these rows.
    pub(super) fn condition(&self) -> Option<&Expr> {
        match self {
            Self::When(condition) => Some(condition),
            Self::All | Self::Untold => None,
        }
    }
}

/// Whether an expression gives the same again, to any node, without a model.
fn is_tellable(expr: &Expr) -> bool {
    is_plain(expr) && !expr.is_volatile() && !calls_a_model(expr)
}

/// The operands of a chain of AND or of OR; `None` for another expression, or for one.
pub(super) fn operands(expr: &Expr) -> Option<(Operator, Vec<&Expr>)> {
    let Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) = expr else { return None };
    let mut operands = vec![];
    flatten(expr, *op, &mut operands);
    Some((*op, operands))
}

fn flatten<'a>(expr: &'a Expr, op: Operator, operands: &mut Vec<&'a Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: own, right }) if *own == op => {
            flatten(left, op, operands);
            flatten(right, op, operands);
        }
        _ => operands.push(expr),
    }
}

/// The rows among `reach` for which the operands that call a model decide: no other one has decided already.
///
/// AND and OR promise no order, so the cheap operands count wherever they stand; one that would give something else the
/// next time is left out.
pub(super) fn undecided(reach: &Reach, op: Operator, operands: &[&Expr]) -> Reach {
    operands.iter().filter(|operand| is_tellable(operand)).fold(reach.clone(), |reach, operand| {
        let operand = Box::new((*operand).clone());
        reach.and(match op {
            Operator::And => Expr::IsNotFalse(operand),
            _ => Expr::IsNotTrue(operand),
        })
    })
}

/// The rows among `reach` that come to the branch behind the first `count` of `arms`, or to the condition there, or,
/// with `count` beyond them, to ELSE; with `taken`, those that take the arm at `count`.
pub(super) fn branch(reach: &Reach, base: Option<&Expr>, arms: &[Expr], count: usize, taken: bool) -> Reach {
    let mut conditions: Vec<_> = arms[..count].iter().map(|when| (when.clone(), lit(0))).collect();
    if taken {
        conditions.push((arms[count].clone(), lit(1)));
    }
    if conditions.is_empty() {
        return reach.clone();
    }
    reach.and(case(base.cloned(), conditions, lit(i32::from(!taken))).gt(lit(0)))
}

/// The rows among `reach` for which each of `arguments` is NULL.
pub(super) fn all_null(reach: &Reach, arguments: &[Expr]) -> Reach {
    arguments.iter().fold(reach.clone(), |reach, argument| reach.and(argument.clone().is_null()))
}

fn case(base: Option<Expr>, arms: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let arms = arms.into_iter().map(|(when, then)| (Box::new(when), Box::new(then))).collect();
    Expr::Case(Case { expr: base.map(Box::new), when_then_expr: arms, else_expr: Some(Box::new(otherwise)) })
}

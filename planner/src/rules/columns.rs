//! Columns of expressions in terms of another plan's.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tamis_udfs::calls::model_function;

/// `expr` with each column replaced by an expression; `None` if `f` has nothing for one of them.
pub(super) fn substitute(expr: &Expr, f: impl Fn(&Column) -> Option<Expr>) -> Option<Expr> {
    let mut complete = true;
    let mapped = expr.clone().transform_up(|e| {
        let Expr::Column(column) = &e else { return Ok(Transformed::no(e)) };
        match f(column) {
            Some(new) => Ok(Transformed::yes(new)),
            None => {
                complete = false;
                Ok(Transformed::new(e, false, TreeNodeRecursion::Stop))
            }
        }
    });
    mapped.ok().filter(|_| complete).map(|mapped| mapped.data)
}

/// `expr` with each column replaced by another; `None` if `f` has nothing for one of them.
pub(super) fn map_columns(expr: &Expr, f: impl Fn(&Column) -> Option<Column>) -> Option<Expr> {
    substitute(expr, |column| f(column).map(Expr::Column))
}

/// The name that a plan of this schema has for `column`, with its qualifier; `None` if it has no such column, or two.
pub(super) fn resolve(column: &Column, schema: &DFSchema) -> Option<Column> {
    let is_one = column.relation.is_some() || schema.fields_with_unqualified_name(&column.name).len() == 1;
    let index = schema.maybe_index_of_column(column).filter(|_| is_one)?;
    Some(Column::from(schema.qualified_field(index)))
}

/// Whether `expr` calls a model anywhere, subqueries apart.
pub(super) fn calls_a_model(expr: &Expr) -> bool {
    let is_call = |e: &Expr| matches!(e, Expr::ScalarFunction(f) if model_function(f.func.name()).is_some());
    expr.exists(|e| Ok(is_call(e))).unwrap_or(true)
}

/// Whether any part of `expr` is a subquery, refers to an outer query, or gives something else each time.
pub(super) fn is_fixed_to_its_place(expr: &Expr) -> bool {
    is_foreign(expr) || expr.is_volatile()
}

/// Whether `expr` draws lots and reads no row: `random()`.
pub(super) fn draws_lots(expr: &Expr) -> bool {
    expr.is_volatile() && expr.column_refs().is_empty() && !is_foreign(expr) && !calls_a_model(expr)
}

/// Whether `expr` cannot fail for any row: columns and constants, compared.
pub(super) fn never_fails(expr: &Expr) -> bool {
    let is_harmless = |e: &Expr| match e {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(
            op,
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom
                | Operator::And
                | Operator::Or
        ),
        Expr::Column(_) | Expr::Literal(..) | Expr::Alias(_) | Expr::Not(_) | Expr::TryCast(_) => true,
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Between(_) | Expr::InList(_) => true,
        _ => false,
    };
    !expr.exists(|e| Ok(!is_harmless(e))).unwrap_or(true)
}

fn is_foreign(expr: &Expr) -> bool {
    let foreign = expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(_, _)
                | Expr::Unnest(_)
        ))
    });
    foreign.unwrap_or(true)
}

//! What model calls cost, for the order of the conjuncts that make them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ToDFSchema};
use datafusion::config::ConfigOptions;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Operator, col};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use tamis_udfs::calls::CallOutput;
use tamis_udfs::runtime::{Cost, Scoring};

use super::call::{ModelCall, function_of};

/// What a call of a model is taken to cost whose configuration cannot be read: about a Qwen2.5-0.5B, in floating-point
/// operations.
const UNKNOWN_FLOPS: f64 = 1e12;
/// The share of rows that a conjunct is taken to let through of which nothing is known.
const UNKNOWN_SELECTIVITY: f64 = 0.5;
/// Recent scores that an estimate of selectivity needs at least.
const LEAST_SCORES: usize = 32;

/// Costs of calls as one session has them.
#[derive(Debug)]
pub(super) struct Costs {
    options: Arc<ConfigOptions>,
}

impl Costs {
    pub(super) fn new(options: Arc<ConfigOptions>) -> Self {
        Self { options }
    }

    /// For each predicate with the calls that it still needs, the cost of deciding one row: what the calls cost, over the
    /// share of rows that the predicate decides. Those of a conjunction decide what they reject, those of a disjunction
    /// what they let through. The least comes first.
    ///
    /// Costs are measured ones, once rows of every model in question have flowed through this process, else the
    /// floating-point operations that the models' configurations tell; the share is that among a model's recent scores.
    /// (Hellerstein & Stonebraker, "Predicate Migration", SIGMOD 1993.)
    pub(super) fn ranks<'a>(
        &self,
        op: Operator,
        conjuncts: impl Iterator<Item = (&'a Expr, &'a [ModelCall])>,
    ) -> Vec<f64> {
        let conjuncts: Vec<_> = conjuncts.collect();
        if conjuncts.len() < 2 {
            // Nothing to choose: no configuration need be read.
            return vec![0.; conjuncts.len()];
        }
        let model = |call: &'a ModelCall| (call.family.as_str(), call.model.as_deref());
        let mut costs: HashMap<_, Option<Cost>> = HashMap::new();
        for call in conjuncts.iter().flat_map(|(_, calls)| *calls) {
            let (family, name) = model(call);
            costs.entry((family, name)).or_insert_with(|| Scoring::cost(family, name, &self.options));
        }
        let measured = costs.values().all(|cost| cost.as_ref().is_some_and(|cost| cost.measured.is_some()));
        let cost = |call: &'a ModelCall| match costs.get(&model(call)).and_then(Option::as_ref) {
            Some(Cost { measured: Some(time), .. }) if measured => time.as_secs_f64(),
            Some(cost) => cost.flops,
            None => UNKNOWN_FLOPS,
        };
        conjuncts
            .iter()
            .map(|(conjunct, calls)| {
                let passing = self.selectivity(conjunct).unwrap_or(UNKNOWN_SELECTIVITY);
                let decided = if op == Operator::Or { passing } else { 1. - passing };
                calls.iter().map(cost).sum::<f64>() / decided.max(1e-3)
            })
            .collect()
    }

    /// The share of a model's recent scores that pass `conjunct`, if it is a predicate on one score alone.
    fn selectivity(&self, conjunct: &Expr) -> Option<f64> {
        let mut model = None;
        let mut is_one = true;
        let over_score = conjunct.clone().transform_down(|expr| {
            let Some(function) = function_of(&expr) else { return Ok(Transformed::no(expr)) };
            let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
            let name = call.args.get(tamis_udfs::calls::SAMPLE_ARGUMENTS).cloned();
            is_one &=
                function.output == CallOutput::Score && model.get_or_insert((function.family, name.clone())).1 == name;
            Ok(Transformed::new(col(SCORE), true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
        });
        let over_score = over_score.ok()?.data;
        let (family, name) = model.filter(|_| is_one)?;
        let name = match name {
            Some(Expr::Literal(name, _)) => Some(name.try_as_str()??.to_string()),
            Some(_) => return None,
            None => None,
        };
        let scores = Scoring::recent_scores(family, name.as_deref(), &self.options);
        if scores.len() < LEAST_SCORES {
            return None;
        }
        let rows = scores.len();
        let scores: ArrayRef = Arc::new(Float32Array::from(scores));
        let batch = RecordBatch::try_from_iter([(SCORE, scores)]).ok()?;
        let schema: DFSchema = batch.schema().to_dfschema().ok()?;
        let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
        let predicate = ExprSimplifier::new(context).simplify(over_score).ok()?;
        let predicate =
            create_physical_expr(&predicate, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
                .ok()?;
        let passes = predicate.evaluate(&batch).ok()?.into_array(rows).ok()?;
        Some(as_boolean_array(&passes).ok()?.true_count() as f64 / rows as f64)
    }
}

const SCORE: &str = "score";

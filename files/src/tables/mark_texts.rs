//! The rule that lets a model's row fail where the file's text is none, not the query.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use tamis_planner::ScoreExec;

use super::guarded::GuardedParquet;
use super::sequential::SequentialSource;
use super::stream::StreamedParquet;

/// Lets scans of files mark texts that are not UTF-8, instead of failing, where a score node reads them.
///
/// ```text
/// ScoreExec: unifilter(image@1, text@2)          the score of such a row is NULL with a reason, and so is its text
///   FilterExec: width@0 > 200
///     DataSourceExec: [width, image, text]       text is marked
/// ```
///
/// The text must come unchanged from a column of the scan through filters, projections, sorts, limits, merges and other score
/// nodes, and nothing else may be made of it on the way: what the mark says would be taken for a text. A filter below the
/// node does see it. Else the scan fails at such a text, as it does without a model.
///
/// It is the last rule, when all that moves has found its place.
#[derive(Debug, Default)]
pub struct MarkTexts;

impl PhysicalOptimizerRule for MarkTexts {
    fn name(&self) -> &str {
        "mark_texts"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        // The columns to mark, by their scan's address.
        let mut marked: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        plan.apply(|node| {
            let text = node.downcast_ref::<ScoreExec>().and_then(|score| {
                let text = score.call().args.get(1)?.downcast_ref::<Column>()?.index();
                source_of(score.children().first()?, text)
            });
            if let Some((scan, column)) = text {
                marked.entry(address(&scan)).or_default().push(column);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if marked.is_empty() {
            return Ok(plan);
        }
        let plan = plan.transform_up(|node| {
            let scan = marked.get(&address(&node)).and_then(|columns| with_marks(&node, columns));
            Ok(scan.map_or_else(|| Transformed::no(node), Transformed::yes))
        })?;
        Ok(plan.data)
    }
}

fn address(plan: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(plan).cast::<()>() as usize
}

/// The scan that a column of a plan comes from, and its name there, if it is a text that nothing else is made of.
fn source_of(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<(Arc<dyn ExecutionPlan>, String)> {
    if let Some(config) = config_of(plan) {
        let source = config.file_source();
        let projection = source.projection()?;
        let exprs: Vec<_> = projection.iter().map(|projected| &projected.expr).collect();
        let place = only_use(&exprs, column)?;
        let schema = source.table_schema().file_schema();
        let field = schema.fields().get(place)?;
        let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8);
        return is_text.then(|| (Arc::clone(plan), field.name().clone()));
    }
    let children = plan.children();
    let [input] = children.as_slice() else { return None };
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let exprs: Vec<_> = projection.expr().iter().map(|projected| &projected.expr).collect();
        return source_of(input, only_use(&exprs, column)?);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let place = match filter.projection() {
            Some(places) => *places.get(column)?,
            None => column,
        };
        return source_of(input, place);
    }
    let passes = plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<GlobalLimitExec>();
    (passes || plan.is::<ScoreExec>() && column < input.schema().fields().len()).then(|| source_of(input, column))?
}

/// The place in the input of the column that the expression of this number is, if no other reads it.
fn only_use(exprs: &[&Arc<dyn PhysicalExpr>], column: usize) -> Option<usize> {
    let place = exprs.get(column)?.downcast_ref::<Column>()?.index();
    let uses = exprs.iter().filter(|expr| collect_columns(expr).iter().any(|read| read.index() == place));
    (uses.count() == 1).then_some(place)
}

fn config_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let source: &dyn Any = plan.downcast_ref::<DataSourceExec>()?.data_source().as_ref();
    source.downcast_ref()
}

/// The scan with marks in these columns, if its files can be read so.
fn with_marks(scan: &Arc<dyn ExecutionPlan>, columns: &[String]) -> Option<Arc<dyn ExecutionPlan>> {
    let config = config_of(scan)?;
    let columns: Arc<[String]> = columns.into();
    let source = config.file_source();
    let source: Arc<dyn FileSource> = if let Some(streamed) = source.downcast_ref::<StreamedParquet>() {
        Arc::new(streamed.marked(columns))
    } else if let Some(guarded) = source.downcast_ref::<GuardedParquet>() {
        Arc::new(StreamedParquet::new(guarded.clone(), guarded.streaming()?.clone()).marked(columns))
    } else {
        Arc::new(source.downcast_ref::<SequentialSource>()?.marked(columns))
    };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    Some(DataSourceExec::from_data_source(config))
}

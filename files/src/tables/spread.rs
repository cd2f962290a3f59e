//! Scans below a model, spread over the executors of a cluster by rows.
//!
//! A file is one partition for DataFusion where it is small, and a row group is never split. Rows with images are small
//! in number and dear to score: a file with one row group of a thousand images is work for all executors.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use tamis_planner::ScoreExec;

use super::bounded::can_stream_all;
use super::codec::{parts, scan_of};
use super::metadata::fetch_metadata;
use super::stream::{RowRange, Sizes, StreamedParquet, Streaming, Texts};

/// A partition has at least this many rows, if there are as many: a task has its price.
const LEAST_ROWS: u64 = 16;
/// Where there are so many files for each partition, files are spread and none is split.
const FILES_A_PARTITION: usize = 4;

/// A scan, and the same cut into more partitions: each of its own is the next few of those, in order.
#[derive(Debug, Clone)]
pub struct Spread {
    /// The scan as it stands in the plan.
    pub scan: Arc<dyn ExecutionPlan>,
    /// The same rows in the same order, in more partitions.
    pub into: Arc<dyn ExecutionPlan>,
    /// Of how many of these each partition of the scan consists.
    pub counts: Vec<usize>,
}

/// The scans below score nodes of a plan that can be cut into about as many partitions as are wanted.
pub async fn spread(plan: &Arc<dyn ExecutionPlan>, session: &dyn Session, wanted: usize) -> Result<Vec<Spread>> {
    let mut scans: Vec<Arc<dyn ExecutionPlan>> = vec![];
    plan.apply(|node| {
        let scan = node.is::<ScoreExec>().then(|| scan_below(node)).flatten();
        scans.extend(scan.filter(|scan| !scans.iter().any(|known| Arc::ptr_eq(known, scan))));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut spread = vec![];
    for scan in scans {
        spread.extend(spread_scan(&scan, session, wanted).await?);
    }
    Ok(spread)
}

/// The scan that a score node's rows come from, if nothing between joins, sorts or counts them.
fn scan_below(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    if node.is::<DataSourceExec>() {
        return Some(Arc::clone(node));
    }
    let keeps_rows = node.is::<ScoreExec>() || node.is::<FilterExec>() || node.is::<ProjectionExec>();
    match node.children().as_slice() {
        [child] if keeps_rows => scan_below(child),
        _ => None,
    }
}

async fn spread_scan(scan: &Arc<dyn ExecutionPlan>, session: &dyn Session, most: usize) -> Result<Option<Spread>> {
    let Some(config) = scan_of(scan) else { return Ok(None) };
    let Some((guarded, _)) = parts(config.file_source().as_ref()) else { return Ok(None) };
    let files: Vec<PartitionedFile> = config.file_groups.iter().flat_map(FileGroup::iter).cloned().collect();
    let is_split = files.iter().any(|file| file.range.is_some() || file.extensions.get::<RowRange>().is_some());
    if config.limit.is_some() || is_split || files.is_empty() || files.len() >= most.saturating_mul(FILES_A_PARTITION) {
        return Ok(None);
    }
    let store = session.runtime_env().object_store(&config.object_store_url)?;
    let objects = files.iter().map(|file| file.object_meta.clone()).collect();
    if !can_stream_all(session, &store, objects).await? {
        return Ok(None);
    }
    let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let mut rows = Vec::with_capacity(group.len());
        for file in group.iter() {
            let metadata = fetch_metadata(store.as_ref(), &file.object_meta, &cache).await?;
            rows.push(metadata.file_metadata().num_rows().max(0) as u64);
        }
        groups.push((group.files(), rows));
    }
    let total: u64 = groups.iter().flat_map(|(_, rows)| rows).sum();
    let partitions = total.div_ceil(LEAST_ROWS).clamp(1, most as u64);
    if partitions <= groups.len() as u64 {
        return Ok(None);
    }
    let share = |rows: &[u64]| (rows.iter().sum::<u64>() * partitions / total.max(1)).max(1);
    let cut: Vec<Vec<FileGroup>> = groups.iter().map(|(files, rows)| cut(files, rows, share(rows))).collect();
    // A partition without rows stays one.
    let cut = cut.into_iter().map(|pieces| if pieces.is_empty() { vec![FileGroup::new(vec![])] } else { pieces });
    let cut: Vec<Vec<FileGroup>> = cut.collect();
    let counts = cut.iter().map(Vec::len).collect();
    let source: Arc<dyn FileSource> = match config.file_source().downcast_ref::<StreamedParquet>() {
        Some(streamed) => Arc::new(streamed.cut()),
        None => {
            let batch_size = config.batch_size.unwrap_or(session.config().batch_size());
            let sizes = Sizes::default();
            let texts = Texts::default();
            let streaming =
                Streaming { metadata_cache: cache, batch_size, sizes, row_number: None, is_cut: true, texts };
            Arc::new(StreamedParquet::new(guarded.clone(), streaming))
        }
    };
    let config: FileScanConfig = FileScanConfigBuilder::from(config.clone())
        .with_source(source)
        .with_file_groups(cut.into_iter().flatten().collect())
        .build();
    Ok(Some(Spread { scan: Arc::clone(scan), into: DataSourceExec::from_data_source(config), counts }))
}

/// Cuts files of so many rows into groups with about equally many, in order.
fn cut(files: &[PartitionedFile], rows: &[u64], groups: u64) -> Vec<FileGroup> {
    let total: u64 = rows.iter().sum();
    let mut cut: Vec<Vec<PartitionedFile>> = vec![];
    for group in 0..groups {
        // The rows of this group, numbered through all files. The products fit: there are not 2^48 rows.
        let (from, to) = (total * group / groups, total * (group + 1) / groups);
        let mut parts = vec![];
        let mut first = 0;
        for (file, rows) in files.iter().zip(rows) {
            let (start, end) = (from.max(first), to.min(first + rows));
            if start < end {
                let mut part = file.clone();
                if end - start < *rows {
                    part.extensions.insert(RowRange(start - first..end - first));
                    // What is known of the file is not known of its part.
                    part.statistics = None;
                }
                parts.push(part);
            }
            first += rows;
        }
        if !parts.is_empty() {
            cut.push(parts);
        }
    }
    cut.into_iter().map(FileGroup::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_group() {
        let files: Vec<_> = ["a", "b", "c"].into_iter().map(|name| PartitionedFile::new(name, 1000)).collect();
        for (rows, groups) in [([10, 0, 90], 4), ([1, 1, 1], 3), ([100, 3, 5], 16), ([7, 7, 7], 1)] {
            let cut = cut(&files, &rows, groups);
            let mut seen = vec![];
            for file in cut.iter().flat_map(FileGroup::iter) {
                let place = files.iter().position(|f| f.object_meta.location == file.object_meta.location).unwrap();
                let range = file.extensions.get::<RowRange>().map(|range| range.0.clone()).unwrap_or(0..rows[place]);
                seen.extend(range.map(|row| (place, row)));
            }
            let all: Vec<_> = rows.iter().enumerate().flat_map(|(f, n)| (0..*n).map(move |row| (f, row))).collect();
            assert_eq!(seen, all, "{rows:?} in {groups}");
            assert_eq!(cut.len() as u64, groups);
        }
    }
}

//! A table of files: lists them, knows their columns, scans them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Constraints, DFSchema, SchemaExt, Statistics, plan_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::listing::{ListingTableUrl, PartitionedFile};
use datafusion::datasource::physical_plan::{
    FileGroup, FileOutputMode, FileScanConfig, FileScanConfigBuilder, FileSinkConfig, FileSource, ParquetSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::physical_expr::{LexOrdering, create_lex_ordering};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::compute_all_files_statistics;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use tamis_udfs::reach::{self, Reach};

use super::allowed::may_read_all;
use super::format::{FileKind, FormatName};
use super::listing::Listing;
use super::location::{Files, TableLocation};
use super::metadata::{Readers, fetch_metadata, statistics};
use super::named::{file_name, in_file};
use super::partitions::Partitions;
use super::schema::{columns_of, presented};
use super::sequential::{Form, SequentialSource};

/// What a statement says of a table, beyond where its files are.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// What the files are.
    pub(super) kind: Option<FileKind>,
    /// The columns, those of folders among them; without them the files tell.
    pub(super) columns: Option<SchemaRef>,
    /// The names of those columns whose values are in the names of folders.
    pub(super) partitions: Vec<String>,
    /// Options of the format.
    pub(super) options: HashMap<String, String>,
    /// The orders that each file is in.
    pub(super) orders: Vec<Vec<SortExpr>>,
    pub(super) constraints: Constraints,
    pub(super) defaults: HashMap<String, Expr>,
    /// The statement itself.
    pub(super) definition: Option<String>,
}

/// Files as a table.
#[derive(Debug, Clone)]
pub(super) struct FilesTable {
    listing: Arc<Listing>,
    kind: FileKind,
    /// How the files are read, if they are not Parquet.
    form: Option<Form>,
    partitions: Partitions,
    table_schema: TableSchema,
    declared: Arc<Declared>,
    /// What may be read, of who has opened the table.
    reach: Reach,
}

impl FilesTable {
    /// The table of the files at a location as they are now.
    pub(super) async fn open(session: &dyn Session, location: TableLocation, declared: Declared) -> Result<Self> {
        let reach = reach::of(session.config());
        reach.may_read(location.name())?;
        let listing = Arc::new(Listing::new(location, declared.kind));
        let url = listing.location().store().clone();
        let store = session.runtime_env().object_store(&url)?;
        let below = listing.location().partitions_below();
        // A table with declared columns may be empty so far.
        let kind = match (declared.kind, &declared.columns) {
            (Some(kind), Some(_)) => kind,
            _ => {
                let listed = listing.files(store.as_ref()).await?;
                may_read_all(&reach, &url, &listed.files)?;
                listed.kind
            }
        };
        let form = Form::of(&kind, session, &declared.options, declared.columns.is_some())?;
        let (partitions, schema) = match &declared.columns {
            Some(columns) => {
                let is_folder = |field: &Arc<Field>| declared.partitions.contains(field.name());
                let folders = columns.fields().iter().filter(|field| is_folder(field)).cloned().collect();
                let in_files = columns
                    .fields()
                    .iter()
                    .filter(|field| !is_folder(field))
                    .map(|field| Arc::new(field.as_ref().clone().with_data_type(presented(field.data_type()))));
                (Partitions::declared(below, folders), Schema::new(in_files.collect::<Vec<_>>()))
            }
            None => {
                let listed = listing.files(store.as_ref()).await?;
                let schema = columns_of(session, &store, &url, &listed, form.as_ref()).await?;
                Partitions::found(below, &listed.files, schema)
            }
        };
        let table_schema =
            TableSchema::builder(Arc::new(schema)).with_table_partition_cols(partitions.columns().to_vec()).build();
        Ok(Self { listing, kind, form, partitions, table_schema, declared: Arc::new(declared), reach })
    }

    /// The columns of the table: those of its files, then those of its folders.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.table_schema.table_schema())
    }

    /// How many columns are in the files.
    pub(super) fn columns_in_files(&self) -> usize {
        self.table_schema.file_schema().fields().len()
    }

    /// Whether the files are Parquet.
    pub(super) fn is_parquet(&self) -> bool {
        self.kind.name() == FormatName::Parquet
    }

    /// What is in the files.
    pub(super) fn format(&self) -> FormatName {
        self.kind.name()
    }

    /// The files' store.
    pub(super) fn store(&self) -> &ObjectStoreUrl {
        self.listing.location().store()
    }

    /// What a statement has said of the table.
    pub(super) fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The files as they are now.
    pub(super) async fn files(&self, session: &dyn Session) -> Result<Arc<[ObjectMeta]>> {
        let store = session.runtime_env().object_store(self.store())?;
        Ok(self.listing.files(store.as_ref()).await?.files)
    }

    /// Whether a predicate is about the names of folders alone: it then chooses files, and no row is looked at.
    pub(super) fn chooses_files(&self, predicate: &Expr) -> bool {
        let names: Vec<&str> = self.partitions.columns().iter().map(|column| column.name().as_str()).collect();
        !names.is_empty() && !predicate.is_volatile() && expr_applicable_for_cols(&names, predicate)
    }

    /// A scan of all columns, or those at the places of `projection`, of the files that `filters` leave. `None`: there are
    /// none.
    pub(super) async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Option<FileScanConfig>> {
        let store = session.runtime_env().object_store(self.store())?;
        let (of_files, of_rows): (Vec<Expr>, Vec<Expr>) =
            filters.iter().cloned().partition(|filter| self.chooses_files(filter));
        let listed = match self.declared.columns {
            // A table with declared columns may be empty.
            Some(_) => self.listing.files_if_any(store.as_ref()).await?,
            None => Some(self.listing.files(store.as_ref()).await?),
        };
        let files = match listed {
            Some(listed) => {
                may_read_all(&self.reach, self.store(), &listed.files)?;
                self.chosen(&listed.files, &of_files)?
            }
            None => vec![],
        };
        let enough = limit.filter(|_| of_rows.is_empty());
        let (files, is_cut) = self.with_statistics(session, &store, files, enough).await?;
        if files.is_empty() {
            return Ok(None);
        }
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let collects = session.config().collect_statistics();
        let (groups, statistics) = compute_all_files_statistics(groups, self.schema(), collects, is_cut)?;
        let source = self.source(session, &store)?;
        let config = FileScanConfigBuilder::new(self.store().clone(), source)
            .with_file_groups(groups)
            .with_constraints(self.declared.constraints.clone())
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(self.orders(session)?)
            .build();
        Ok(Some(config))
    }

    fn source(&self, session: &dyn Session, store: &Arc<dyn ObjectStore>) -> Result<Arc<dyn FileSource>> {
        if let Some(form) = &self.form {
            return Ok(Arc::new(SequentialSource::new(form.clone(), self.table_schema.clone())));
        }
        let mut options = session.default_table_options();
        options.set_config_format(datafusion::config::ConfigFileType::PARQUET);
        options.alter_with_string_hash_map(&self.declared.options)?;
        let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
        let source = ParquetSource::new(self.table_schema.clone())
            .with_table_parquet_options(options.parquet)
            .with_parquet_file_reader_factory(Arc::new(Readers::new(Arc::clone(store), cache)));
        Ok(Arc::new(source))
    }

    /// The files that predicates over the names of folders leave.
    fn chosen(&self, files: &[ObjectMeta], filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let fields = self.partitions.columns().iter().map(|field| field.as_ref().clone()).collect();
        let schema = DFSchema::from_unqualified_fields(fields, HashMap::new())?;
        let mut chosen = vec![];
        for file in files {
            let values = self.partitions.values(&file.location)?;
            let file = PartitionedFile::from(file.clone()).with_partition_values(values);
            chosen.extend(match filters {
                [] => Some(file),
                filters => filter_partitioned_file(file, filters, &schema)?,
            });
        }
        Ok(chosen)
    }

    /// The files with what is known of them: of so many that they have `enough` rows, and whether others are left out.
    async fn with_statistics(
        &self,
        session: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        files: Vec<PartitionedFile>,
        enough: Option<usize>,
    ) -> Result<(Vec<PartitionedFile>, bool)> {
        let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
        let side_by_side = session.config_options().execution.meta_fetch_concurrency.get();
        let collects = session.config().collect_statistics() && self.is_parquet();
        let count = files.len();
        let looks = files.into_iter().map(|file| {
            let (store, cache) = (Arc::clone(store), Arc::clone(&cache));
            let schema = Arc::clone(self.table_schema.file_schema());
            let name = file_name(self.store(), &file.object_meta.location);
            async move {
                let known = match collects {
                    true => read_statistics(store, cache, &file.object_meta, &schema)
                        .await
                        .map_err(|e| in_file(&name, e))?,
                    false => Statistics::new_unknown(&schema),
                };
                Ok::<_, DataFusionError>(with_statistics(file, known))
            }
            .boxed()
        });
        let mut known = stream::iter(looks).buffered(if enough.is_some() { 1 } else { side_by_side });
        let (mut with, mut rows) = (vec![], Precision::Exact(0));
        while let Some(file) = known.try_next().await? {
            if let Some(statistics) = &file.statistics {
                rows = rows.add(&statistics.num_rows);
            }
            with.push(file);
            if let (Some(enough), Precision::Exact(rows)) = (enough, &rows)
                && *rows >= enough
                && collects
            {
                break;
            }
        }
        let is_cut = with.len() < count;
        Ok((with, is_cut))
    }

    fn orders(&self, session: &dyn Session) -> Result<Vec<LexOrdering>> {
        match self.declared.orders.as_slice() {
            [] => Ok(vec![]),
            orders => create_lex_ordering(&self.schema(), orders, session.execution_props()),
        }
    }

    /// A plan that writes rows as files of the table's folder.
    pub(super) async fn insert_into(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        operation: InsertOp,
        format: Arc<dyn FileFormat>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        schema.logically_equivalent_names_and_types(&input.schema())?;
        let name = self.listing.location().name();
        if !matches!(self.listing.location().files(), Files::Folder(_) | Files::Path(_)) || !name.ends_with('/') {
            return plan_err!(
                "rows cannot be added to {name}: it is no folder; a table whose LOCATION ends in / takes them"
            );
        }
        let columns = self.partitions.columns().iter();
        let config = FileSinkConfig {
            original_url: String::default(),
            object_store_url: self.store().clone(),
            table_paths: vec![ListingTableUrl::parse(name)?],
            file_group: FileGroup::default(),
            output_schema: schema,
            table_partition_cols: columns.map(|c| (c.name().clone(), c.data_type().clone())).collect(),
            insert_op: operation,
            keep_partition_by_columns: session.config_options().execution.keep_partition_by_columns,
            file_extension: format.get_ext(),
            file_output_mode: FileOutputMode::Automatic,
        };
        let order = self.orders(session)?.into_iter().next().map(Into::into);
        format.create_writer_physical_plan(input, session, config, order).await
    }
}

async fn read_statistics(
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
    file: &ObjectMeta,
    schema: &SchemaRef,
) -> Result<Statistics> {
    statistics(fetch_metadata(store.as_ref(), file, &cache).await?.as_ref(), schema)
}

/// The file with what is known of its columns and of those of its folders.
fn with_statistics(mut file: PartitionedFile, mut known: Statistics) -> PartitionedFile {
    known.column_statistics.extend(Partitions::statistics(&file.partition_values, known.num_rows));
    file.statistics = Some(Arc::new(known));
    file
}

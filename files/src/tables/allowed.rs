//! Whether the files of tables may be read.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;
use object_store::path::Path;
use tamis_udfs::reach::Reach;
use url::Url;

use super::codec::scan_of;
use crate::stores::url_of;

/// Refuses files that a folder or a pattern has and that a link leads to from elsewhere.
pub(super) fn may_read_all(reach: &Reach, store: &ObjectStoreUrl, files: &[ObjectMeta]) -> Result<()> {
    if reach.is_everything() {
        return Ok(());
    }
    files.iter().try_for_each(|file| may_read_one(reach, store, &file.location))
}

/// Refuses a file in a store that may not be read.
pub(super) fn may_read_one(reach: &Reach, store: &ObjectStoreUrl, location: &Path) -> Result<()> {
    let origin: &Url = store.as_ref();
    match origin.scheme() {
        "http" | "https" => reach.may_read_url(url_of(origin, location).as_str())?,
        _ => reach.may_read_location(store.as_str(), location.as_ref())?,
    }
    Ok(())
}

/// Refuses a plan that scans files which may not be read.
pub fn check_scans(plan: &Arc<dyn ExecutionPlan>, reach: &Reach) -> Result<()> {
    if reach.is_everything() {
        return Ok(());
    }
    plan.apply(|node| {
        if let Some(config) = scan_of(node) {
            let mut files = config.file_groups.iter().flat_map(|group| group.files());
            files.try_for_each(|file| may_read_one(reach, &config.object_store_url, &file.object_meta.location))?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tamis_udfs::reach::{Place, Rules};

    use super::*;
    use crate::test_session::session;

    #[tokio::test]
    async fn a_plan_scans_files_of_places_and_of_tables_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv").display().to_string();
        std::fs::write(&file, "n\n1\n").unwrap();
        let frame = session(&[]).sql(&format!("SELECT sum(n) FROM '{file}' WHERE n > 0")).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let nothing = Reach::limited(Rules::default());
        let refused = check_scans(&plan, &nothing).unwrap_err().to_string();
        assert!(refused.contains(&format!("reading {file}: you may not read there")), "{refused}");
        let place = Place::of_table(&format!("{}/*.csv", folder.path().display())).unwrap();
        assert!(check_scans(&plan, &nothing.with_tables([place.clone()])).is_ok());
        assert!(check_scans(&plan, &Reach::limited(Rules { read: vec![place], ..Rules::default() })).is_ok());
        assert!(check_scans(&plan, &Reach::everything()).is_ok());
    }

    #[test]
    fn a_file_of_a_web_server_is_its_url() {
        let rules = Rules { read: vec![Place::parse("http://host/a").unwrap()], ..Rules::default() };
        let (reach, store) = (Reach::limited(rules), ObjectStoreUrl::parse("http://host").unwrap());
        let location = |url: &str| crate::stores::location_of(&Url::parse(url).unwrap());
        assert!(may_read_one(&reach, &store, &location("http://host/a//b.csv?x=1")).is_ok());
        assert!(may_read_one(&reach, &store, &location("http://host/b/a.csv")).is_err());
    }
}

mod contract;
mod sql;

/// A picture of the models' test set.
fn picture(name: &str) -> Vec<u8> {
    std::fs::read(picture_path(name)).unwrap()
}

fn picture_path(name: &str) -> String {
    format!("{}/../models/tests/golden/images/{name}", env!("CARGO_MANIFEST_DIR"))
}

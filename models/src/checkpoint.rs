//! Where a model lies: a folder, an object store or a Hugging Face hub.

/// Where a model lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location(String);

impl From<&str> for Location {
    fn from(s: &str) -> Self {
        Self(s.to_string())
    }
}

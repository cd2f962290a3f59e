//! The published training set's form: a JSON list of objects with `image`, `text` and `label`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::TrainingError;

/// An object of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonRow {
    /// Files of its images, below the image folder.
    pub images: Vec<PathBuf>,
    /// Its text, with `<image>` where each image stands.
    pub text: String,
    /// Its label: "positive" is 1, any other text 0.
    pub label: Option<f64>,
    /// What it is called: its `id`, or its number.
    pub uid: String,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    image: Option<Files>,
    text: String,
    label: Option<Label>,
    id: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Files {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Number(f64),
    Text(String),
}

/// Reads the list; images are files below `folder`.
pub fn read_json(path: &Path, folder: &Path) -> Result<Vec<JsonRow>, TrainingError> {
    let bytes = std::fs::read(path).map_err(TrainingError::io("reading", path))?;
    let objects: Vec<Object> = serde_json::from_slice(&bytes).map_err(|error| {
        TrainingError::Data(format!(
            "reading {}: {error}; expected a JSON list of objects with image (a path, or several), text and label",
            path.display()
        ))
    })?;
    let row = |(number, object): (usize, Object)| JsonRow {
        images: match object.image {
            Some(Files::One(file)) => vec![folder.join(file)],
            Some(Files::Many(files)) => files.iter().map(|file| folder.join(file)).collect(),
            None => vec![],
        },
        text: object.text,
        label: object.label.map(|label| match label {
            Label::Number(number) => number,
            Label::Text(text) => f64::from(u8::from(text == "positive")),
        }),
        uid: match object.id {
            Some(serde_json::Value::String(id)) => id,
            Some(id) => id.to_string(),
            None => number.to_string(),
        },
    };
    Ok(objects.into_iter().enumerate().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_s_form_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let text = r#"[{"image": "x/1.jpg", "text": "<image>\na cat", "label": 3},
            {"image": ["1.jpg", "2.jpg"], "text": "a <image> b <image>", "label": "positive", "id": "d"},
            {"image": "y.png", "text": "<image>\n", "label": "negative", "id": 7}]"#;
        std::fs::write(&file, text).unwrap();
        let rows = read_json(&file, Path::new("/p")).unwrap();
        assert_eq!(rows[0].images, [Path::new("/p/x/1.jpg")]);
        assert_eq!((rows[0].label, rows[1].label, rows[2].label), (Some(3.), Some(1.), Some(0.)));
        assert_eq!((rows[1].images.len(), rows[1].uid.as_str(), rows[2].uid.as_str()), (2, "d", "7"));
        std::fs::write(&file, "{}").unwrap();
        assert!(read_json(&file, Path::new("/p")).unwrap_err().to_string().contains("JSON list"));
    }
}

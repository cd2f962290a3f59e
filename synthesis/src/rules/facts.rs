//! What is known of an image.

use serde::Deserialize;

use crate::random::{Random, any, chance};

/// All that is known of an image, as the column `facts` has it in JSON.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Facts {
    /// What is to be seen, the main thing first.
    pub objects: Vec<Object>,
    /// A colour, or what the background is.
    #[serde(default)]
    pub background: Option<String>,
    /// What kind of picture it is: a drawing, a photograph.
    #[serde(default)]
    pub style: Option<String>,
}

/// One or several equal things in an image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Object {
    /// The usual name.
    pub name: String,
    /// All names that are right.
    #[serde(default)]
    pub names: Vec<String>,
    /// Words that are right for it.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Names of things that are like it and are not it.
    #[serde(default)]
    pub kin: Vec<String>,
    /// How many there are.
    #[serde(default = "one")]
    pub count: u32,
    /// Its colour.
    #[serde(default)]
    pub colour: Option<String>,
    /// Large or small.
    #[serde(default)]
    pub size: Option<String>,
    /// Where it is: left, right, top, bottom, two of these, or middle.
    #[serde(default)]
    pub place: Option<String>,
}

fn one() -> u32 {
    1
}

impl Facts {
    /// Reads the facts of a row; the reason if they are none.
    pub fn parse(json: &str) -> Result<Self, String> {
        let facts: Self = serde_json::from_str(json).map_err(|e| format!("facts: {e}"))?;
        match facts.objects.iter().find(|object| object.name.trim().is_empty() || object.count == 0) {
            Some(_) => Err("facts: an object has no name, or a count of 0".into()),
            None if facts.objects.is_empty() => Err("facts: no objects".into()),
            None => Ok(facts),
        }
    }

    /// Whether a word is a true name or keyword of something in the image.
    pub(crate) fn knows(&self, word: &str) -> bool {
        self.objects.iter().any(|object| object.is_called(word))
    }
}

impl Object {
    /// The usual name, or now and then another that is right.
    pub(crate) fn drawn_name(&self, random: &mut Random) -> String {
        match any(random, &self.names) {
            Some(other) if chance(random, 0.3) => other.clone(),
            _ => self.name.clone(),
        }
    }

    /// Whether a word is one of its names or keywords.
    pub(crate) fn is_called(&self, word: &str) -> bool {
        let mut words = std::iter::once(&self.name).chain(&self.names).chain(&self.keywords);
        words.any(|own| own.eq_ignore_ascii_case(word))
    }

    /// Whether it has a keyword in common with another object.
    pub(crate) fn is_related(&self, other: &Self) -> bool {
        self.keywords.iter().any(|word| other.keywords.iter().any(|w| w.eq_ignore_ascii_case(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_json_with_what_is_known() {
        let facts = Facts::parse(
            r#"{"objects":[{"name":"kangaroo","names":["kangaroo","joey"],"keywords":["animal","marsupial"],
                "kin":["wallaby","koala"],"count":2,"colour":"brown","size":null,"place":"top left"}],
                "background":"light blue","style":null}"#,
        )
        .unwrap();
        assert_eq!((facts.objects[0].count, facts.background.as_deref()), (2, Some("light blue")));
        assert!(facts.knows("Joey") && facts.knows("animal") && !facts.knows("wallaby"));
        assert_eq!(Facts::parse(r#"{"objects":[{"name":"cup"}]}"#).unwrap().objects[0].count, 1);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for bad in
            ["", "{}", r#"{"objects":[]}"#, r#"{"objects":[{"name":" "}]}"#, r#"{"objects":[{"name":"a","count":0}]}"#]
        {
            assert!(Facts::parse(bad).unwrap_err().starts_with("facts: "), "{bad}");
        }
    }
}

//! One sentence of a caption.

use super::super::english::{article, capitalised};
use super::super::scene::Scene;
use super::phrases::{behind, core, things, whole};
use crate::random::{Random, chance, one};

/// What a picture is called that may be any.
const PICTURES: [&str; 7] = ["picture", "image", "scene", "graphic", "composition", "picture", "view"];

/// Beginnings before things.
const HEADS: [&str; 22] = [
    "",
    "",
    "",
    "",
    "{a picture} of ",
    "{a picture} showing ",
    "{a picture} with ",
    "{a picture} that shows ",
    "There is ",
    "There you see ",
    "This {picture} shows ",
    "The {picture} contains ",
    "The {picture} has ",
    "You can see ",
    "One can see ",
    "In this {picture}: ",
    "In the {picture} there is ",
    "Here we have ",
    "Here is ",
    "We see ",
    "Shown here: ",
    "Pictured: ",
];

/// Endings that say nothing.
const TAILS: [&str; 13] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    ", as can be seen",
    ", no less",
    " in this {picture}",
    ", plain to see",
    ", in short",
];

/// A caption of one sentence.
pub(super) fn sentence(scene: &Scene, random: &mut Random) -> String {
    let sentence = match scene.style {
        Some(_) => capitalised(&whole(scene, random)),
        None if scene.background.is_some() && chance(random, 0.2) => background_first(scene, random),
        None => {
            let head = with_picture(one(random, &HEADS), random);
            let tail = with_picture(one(random, &TAILS), random);
            let text = format!("{head}{}{tail}", core(scene, random));
            if chance(random, 0.8) { capitalised(&text) } else { text }
        }
    };
    format!("{sentence}{}", one(random, &[".", ".", "", "", "!", "."]))
}

fn background_first(scene: &Scene, random: &mut Random) -> String {
    let link = one(random, &[" there is ", ", ", ": ", " we see ", " stands ", " one sees "]);
    format!("{}{link}{}", capitalised(&behind(scene, random)), things(scene, random))
}

/// Names the picture where a pattern speaks of it.
pub(super) fn with_picture(pattern: &str, random: &mut Random) -> String {
    let picture = one(random, &PICTURES);
    pattern.replace("{a picture}", &format!("{} {picture}", article(picture))).replace("{picture}", picture)
}

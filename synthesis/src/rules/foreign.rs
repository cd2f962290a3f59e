//! Texts that speak of no picture: a small share of what is unrelated.

use rand::Rng;

use crate::random::{Random, one};

const TEXTS: [&str; 36] = [
    "ERROR {n}: connection to host timed out",
    "[info] worker {n} started, queue empty",
    "GET /index.html 200 {n} ms",
    "WARN disk usage at {n} percent on /dev/sda1",
    "job {n} finished with exit code 0",
    "page {n} of 120",
    "untitled-{n}",
    "IMG_00{n}.JPG",
    "click here to download part {n}",
    "Terms and conditions apply, see section {n}.",
    "Sign up for our newsletter and save {n} percent.",
    "Your parcel arrives in {n} hours. Track it online.",
    "Password must have at least {n} characters",
    "Shares fell by {n} percent after the report.",
    "The council approved a budget of {n} million.",
    "Rain is expected, with gusts of {n} km/h.",
    "The team won by {n} points in overtime.",
    "Voters go to the polls in {n} districts on Sunday.",
    "Preheat the oven and bake for {n} minutes.",
    "Take one tablet every {n} hours, after meals.",
    "In that year the treaty was signed after {n} days of talks.",
    "The theorem follows by induction over all n greater than {n}.",
    "for i in range({n}): print(i)",
    "SELECT count(*) FROM orders WHERE day = {n}",
    "lorem ipsum dolor sit amet, consectetur adipiscing elit",
    "All rights reserved. Version {n}.0",
    "We use cookies to improve your experience.",
    "Meeting moved to {n} o'clock, room 4",
    "Thank you for your order no. 55{n}.",
    "Cotton shirt, size M, pack of {n}, on sale now",
    "Wireless headset with {n} hours of battery, 2-year warranty",
    "The lecture begins with a history of tax law.",
    "5 stars, would buy again",
    "Subscribe and hit the bell!!",
    "Rewind the tape and wait for {n} seconds.",
    "null",
];

/// A text of another kind.
pub(crate) fn foreign(random: &mut Random) -> String {
    one(random, &TEXTS).replace("{n}", &random.random_range(2..99).to_string())
}

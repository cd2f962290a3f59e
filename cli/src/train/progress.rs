//! How far a training is, on stderr.

use std::io::IsTerminal;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tamis_training::run::Event;

/// Steps between lines, where there is no terminal to draw a bar on.
const LINES: usize = 50;

/// A bar, or lines, or nothing.
pub(super) struct Progress {
    bar: ProgressBar,
    is_quiet: bool,
    /// The loss, the last steps weighing most.
    loss: Option<f64>,
    /// Samples a second, likewise.
    speed: Option<f64>,
}

impl Progress {
    pub(super) fn new(is_quiet: bool) -> Self {
        let bar = match is_quiet || !std::io::stderr().is_terminal() {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(0),
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self { bar, is_quiet, loss: None, speed: None }
    }

    /// Tells what has happened.
    pub(super) fn tell(&mut self, event: &Event) {
        match event {
            Event::Features { done, all } => {
                self.draw(*done, *all, "images through the vision tower".into(), *done == *all);
            }
            Event::Resumed { step } => self.line(&format!("going on after step {step}")),
            Event::Step { step, of, left } => {
                let follow = |mean: Option<f64>, value: f64| Some(mean.map_or(value, |mean| 0.9 * mean + 0.1 * value));
                self.loss = follow(self.loss, f64::from(step.loss));
                self.speed = follow(self.speed, step.samples_per_second);
                let message = format!(
                    "epoch {}, loss {:.4}, {:.1} samples/s, {} left",
                    step.epoch,
                    self.loss.unwrap_or_default(),
                    self.speed.unwrap_or_default(),
                    HumanDuration(*left)
                );
                self.draw(step.step, *of, message, step.step == *of || step.step.is_multiple_of(LINES));
            }
            Event::Evaluated { figures, is_best } => {
                let accuracy = figures.accuracy.map_or(String::new(), |accuracy| format!(", accuracy {accuracy:.3}"));
                let f1 = figures.f1.map_or(String::new(), |f1| format!(", F1 {f1:.3}"));
                let best = if *is_best { ", the best so far" } else { "" };
                let (step, loss) = (figures.step, figures.loss);
                self.line(&format!("step {step}: validation loss {loss:.4}{accuracy}{f1}{best}"));
            }
        }
    }

    fn draw(&self, done: usize, all: usize, message: String, is_line: bool) {
        if self.bar.is_hidden() {
            if is_line {
                self.line(&format!("{done}/{all} {message}"));
            }
            return;
        }
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(message);
    }

    fn line(&self, text: &str) {
        if !self.is_quiet {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

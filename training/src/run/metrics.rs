//! What each step was like, in files: JSON lines, and events for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evaluation::Evaluated;
use super::tensorboard::Events;
use crate::TrainingError;

/// One step of the optimiser.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, from 1.
    pub step: usize,
    /// The epoch that it belongs to, from 1.
    pub epoch: usize,
    /// The loss, its parts weighed.
    pub loss: f32,
    /// The loss of the scores alone.
    pub score_loss: f32,
    /// The loss of next tokens alone.
    pub next_token_loss: f32,
    /// The learning rate.
    pub learning_rate: f64,
    /// The norm of all gradients, before it was clipped.
    pub gradient_norm: f64,
    /// Samples a second since the last step.
    pub samples_per_second: f64,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Step(Step),
    Evaluated { evaluated: Evaluated },
}

impl Line {
    fn step(&self) -> usize {
        match self {
            Self::Step(step) => step.step,
            Self::Evaluated { evaluated } => evaluated.step,
        }
    }
}

/// Where the steps are written.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    events: Events,
    /// Steps so far.
    pub(super) steps: Vec<Step>,
    /// Evaluations so far.
    pub(super) evaluations: Vec<Evaluated>,
}

impl Metrics {
    /// Goes on with the lines up to a step, or begins anew after none. Events go to a folder of their own.
    pub(super) fn open(path: &Path, events: &Path, after: usize) -> Result<Self, TrainingError> {
        let (mut steps, mut evaluations, mut kept) = (vec![], vec![], String::new());
        if after > 0 && path.exists() {
            let file = File::open(path).map_err(TrainingError::io("reading", path))?;
            for line in BufReader::new(file).lines() {
                let line = line.map_err(TrainingError::io("reading", path))?;
                // The last one may be torn.
                let Ok(parsed) = serde_json::from_str::<Line>(&line) else { continue };
                if parsed.step() > after {
                    continue;
                }
                kept.push_str(&line);
                kept.push('\n');
                match parsed {
                    Line::Step(step) => steps.push(step),
                    Line::Evaluated { evaluated } => evaluations.push(evaluated),
                }
            }
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(TrainingError::io("making", folder))?;
        }
        std::fs::write(path, kept).map_err(TrainingError::io("writing", path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainingError::io("opening", path))?;
        Ok(Self { path: path.to_path_buf(), file, events: Events::create(events)?, steps, evaluations })
    }

    fn write(&mut self, line: &Line) -> Result<(), TrainingError> {
        let text = serde_json::to_string(line).map_err(|error| TrainingError::Data(error.to_string()))?;
        writeln!(self.file, "{text}").map_err(TrainingError::io("writing", &self.path))
    }

    /// The number of the last step that was taken.
    pub fn last_step(&self) -> usize {
        self.steps.last().map_or(0, |step| step.step)
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), TrainingError> {
        self.write(&Line::Step(step.clone()))?;
        let scalars = [
            ("train/loss", f64::from(step.loss)),
            ("train/score_loss", f64::from(step.score_loss)),
            ("train/next_token_loss", f64::from(step.next_token_loss)),
            ("train/learning_rate", step.learning_rate),
            ("train/gradient_norm", step.gradient_norm),
            ("train/samples_per_second", step.samples_per_second),
        ];
        self.events.scalars(step.step, &scalars)?;
        self.steps.push(step);
        Ok(())
    }

    pub(super) fn evaluated(&mut self, evaluated: Evaluated) -> Result<(), TrainingError> {
        self.write(&Line::Evaluated { evaluated: evaluated.clone() })?;
        let mut scalars = vec![("validation/loss", evaluated.loss)];
        scalars.extend(evaluated.accuracy.map(|accuracy| ("validation/accuracy", accuracy)));
        scalars.extend(evaluated.f1.map(|f1| ("validation/f1", f1)));
        self.events.scalars(evaluated.step, &scalars)?;
        self.evaluations.push(evaluated);
        Ok(())
    }
}

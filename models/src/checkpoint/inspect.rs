//! What a checkpoint is: architecture, dtype, size, fingerprint.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Location;
use crate::device::Arithmetic;
use crate::unifilter::Parts;
use crate::{DeviceChoice, DtypeChoice, LoadError};

/// A checkpoint's description, for people (`Display`) and programs (`Serialize`).
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The model as the user named it.
    pub model: String,
    /// `model_type` of config.json.
    pub model_type: String,
    /// The language model in one line.
    pub language: String,
    /// The vision tower in one line.
    pub vision: String,
    /// The projector in one line.
    pub projector: String,
    /// What a score is.
    pub output: String,
    /// The filter that images are resized with.
    pub resize: String,
    /// Number of parameters that take part in scoring.
    pub parameters: u64,
    /// Size of the weights' files in bytes.
    pub size_bytes: u64,
    /// Tensors by dtype.
    pub dtypes: BTreeMap<String, usize>,
    /// Identifies weights, configuration, tokenizer and preprocessing (f32 arithmetic on a CPU).
    pub fingerprint: String,
}

/// Opens the checkpoint at `location` and describes it. Loads no weights; the fingerprint may have to read their files.
pub fn inspect(location: &Location) -> Result<Inspection, LoadError> {
    let parts = Parts::open(location)?;
    let config = &parts.config;
    let vision = &parts.vision_config;
    let mut dtypes = BTreeMap::new();
    for (_, _, dtype) in parts.weights.tensors() {
        *dtypes.entry(dtype).or_insert(0) += 1;
    }
    let sizes = parts.weights.files().iter().map(|f| f.bytes().len() as u64);
    let tower = parts.tower.iter().flat_map(|(_, w)| w.files()).map(|f| f.bytes().len() as u64);
    Ok(Inspection {
        model: location.to_string(),
        model_type: config.model_type.clone(),
        language: format!(
            "{} layers, hidden {}, {} heads ({} key-value), head {}, MLP {}, vocabulary {}",
            config.num_hidden_layers,
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim(),
            config.intermediate_size,
            config.vocab_size
        ),
        vision: format!(
            "SigLIP, {} layers, hidden {}, {} heads, MLP {}, patches of {} on {} px ({})",
            vision.num_hidden_layers,
            vision.hidden_size,
            vision.num_attention_heads,
            vision.intermediate_size,
            vision.patch_size,
            vision.image_size,
            match &parts.tower {
                Some((tower, _)) => format!("from {}", tower.path("").display()),
                None => "the checkpoint's own copy".into(),
            }
        ),
        projector: format!("average pooling to {} tokens, 2-layer MLP", config.mm_num_image_tokens),
        output: match parts.num_labels()? {
            1 => "one score, the raw logit".into(),
            n => format!("{n} classes, the score is the probability of class 1"),
        },
        resize: format!("{:?} to {1} x {1}", parts.preprocess.filter, vision.image_size).to_lowercase(),
        parameters: parts.parameters(),
        size_bytes: sizes.chain(tower).sum(),
        dtypes,
        fingerprint: parts.fingerprint(Arithmetic::of(DeviceChoice::Cpu, DtypeChoice::F32))?,
    })
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtypes: Vec<_> = self.dtypes.iter().map(|(d, n)| format!("{d} ({n} tensors)")).collect();
        let mib = self.size_bytes as f64 / f64::from(1 << 20);
        for (name, value) in [
            ("model", &self.model),
            ("architecture", &format!("UniFilter ({})", self.model_type)),
            ("language", &self.language),
            ("vision", &self.vision),
            ("projector", &self.projector),
            ("output", &self.output),
            ("resize", &self.resize),
            ("dtype", &dtypes.join(", ")),
            ("parameters", &self.parameters.to_string()),
            ("size", &format!("{mib:.1} MiB")),
        ] {
            writeln!(f, "{name:<13} {value}")?;
        }
        write!(f, "{:<13} {}", "fingerprint", self.fingerprint)
    }
}

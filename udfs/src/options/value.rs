//! The types that a session option can have: how a value is read, shown and described.

use std::str::FromStr;

use tamis_models::{DeviceChoice, DtypeChoice};

/// A type of session option.
pub(super) trait OptionValue: Sized {
    /// What is accepted, as an error message and the documentation say it.
    const ACCEPTED: &'static str;

    /// Reads a value; `None` if it is not accepted.
    fn parse(value: &str) -> Option<Self>;

    /// The value as `SHOW` prints it and [`parse`](Self::parse) reads it.
    fn show(&self) -> String;
}

/// What a query does with a row that cannot be scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnError {
    /// The score is NULL and the row is counted.
    #[default]
    Null,
    /// The query fails and names the row's reason.
    Fail,
}

/// How many positions of the language model's sequence one forward pass may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BatchTokens {
    /// What suits the device.
    #[default]
    Auto,
    /// So many.
    Count(usize),
}

impl BatchTokens {
    /// A CPU gains little from long batches, and a pass that has begun cannot be cancelled: about nine captions.
    const CPU: usize = 2_048;
    /// A GPU needs many rows at once to be busy: about ninety-five captions.
    const CUDA: usize = 16_384;

    /// The number for a model on `device`.
    pub fn for_device(self, device: DeviceChoice) -> usize {
        match self {
            Self::Count(n) => n,
            Self::Auto if device.is_cuda() => Self::CUDA,
            Self::Auto => Self::CPU,
        }
    }
}

/// What becomes of texts in files that are not UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum InvalidUtf8 {
    /// The query fails and names the file and the place.
    #[default]
    Error,
    /// U+FFFD stands for what cannot be read.
    Replace,
}

impl OptionValue for InvalidUtf8 {
    const ACCEPTED: &'static str = "error or replace";

    fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "error" => Some(Self::Error),
            "replace" => Some(Self::Replace),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Error => "error",
            Self::Replace => "replace",
        }
        .to_string()
    }
}

impl OptionValue for String {
    const ACCEPTED: &'static str = "a text that is not empty";

    fn parse(value: &str) -> Option<Self> {
        (!value.is_empty()).then(|| value.to_string())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl OptionValue for usize {
    const ACCEPTED: &'static str = "a whole number from 1";

    fn parse(value: &str) -> Option<Self> {
        value.parse().ok().filter(|n| *n > 0)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for u64 {
    const ACCEPTED: &'static str = "a whole number from 1";

    fn parse(value: &str) -> Option<Self> {
        value.parse().ok().filter(|n| *n > 0)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for bool {
    const ACCEPTED: &'static str = "true or false";

    fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for DeviceChoice {
    const ACCEPTED: &'static str = "auto, cpu or cuda:N";

    fn parse(value: &str) -> Option<Self> {
        Self::from_str(value).ok()
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_string(),
            Self::Cpu => "cpu".to_string(),
            Self::Cuda(n) => format!("cuda:{n}"),
        }
    }
}

impl OptionValue for DtypeChoice {
    const ACCEPTED: &'static str = "auto, f32, bf16, f16 or int8";

    fn parse(value: &str) -> Option<Self> {
        Self::from_str(value).ok()
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
        .to_string()
    }
}

impl OptionValue for OnError {
    const ACCEPTED: &'static str = "null or fail";

    fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "null" => Some(Self::Null),
            "fail" => Some(Self::Fail),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Null => "null",
            Self::Fail => "fail",
        }
        .to_string()
    }
}

impl OptionValue for BatchTokens {
    const ACCEPTED: &'static str = "auto or a whole number from 1";

    fn parse(value: &str) -> Option<Self> {
        match value {
            "auto" => Some(Self::Auto),
            _ => usize::parse(value).map(Self::Count),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_string(),
            Self::Count(n) => n.to_string(),
        }
    }
}

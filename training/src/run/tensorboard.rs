//! TensorBoard's event files: records of TensorFlow's framing, each an `Event` in protocol buffers.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::TrainingError;

/// tensorflow.Event, as far as it is written here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// tensorflow.Summary.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// tensorflow.Summary.Value of one number.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    /// Zero is a value too, and is written.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file.
#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// A new file in a folder; TensorBoard reads all of a folder's as one.
    pub(super) fn create(folder: &Path) -> Result<Self, TrainingError> {
        std::fs::create_dir_all(folder).map_err(TrainingError::io("making", folder))?;
        let path = folder.join(format!("events.out.tfevents.{}.tamis", now() as u64));
        let file = File::create(&path).map_err(TrainingError::io("making", &path))?;
        let mut events = Self { path, file };
        events.write(&Event { file_version: Some("brain.Event:2".into()), ..Event::default() })?;
        Ok(events)
    }

    /// Numbers of a step by name.
    pub(super) fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> Result<(), TrainingError> {
        let value = |(tag, value): &(&str, f64)| Value { tag: (*tag).into(), simple_value: Some(*value as f32) };
        let summary = Some(Summary { value: values.iter().map(value).collect() });
        self.write(&Event { step: step as i64, summary, ..Event::default() })
    }

    fn write(&mut self, event: &Event) -> Result<(), TrainingError> {
        let data = Event { wall_time: now(), ..event.clone() }.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked(&length).to_le_bytes());
        record.extend(&data);
        record.extend(masked(&data).to_le_bytes());
        self.file.write_all(&record).map_err(TrainingError::io("writing", &self.path))
    }
}

/// A record's checksum, turned so that checksums of data with checksums in it stay good ones.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0., |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of every event file: the length 24 and its checksum, a3 7f 4b 22.
    #[test]
    fn a_checksum_is_masked_as_tensorflow_s() {
        assert_eq!(masked(&24u64.to_le_bytes()), 0x224b_7fa3);
    }
}

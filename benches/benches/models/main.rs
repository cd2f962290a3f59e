//! The models' work on one CPU, piece by piece: decoding, resizing, tokenising, the forward passes.

mod decode;
mod forward;
mod prepare;
mod resize;

use criterion::Criterion;
use tamis_models::checkpoint::Location;
use tamis_models::unifilter::UniFilter;
use tamis_models::{DeviceChoice, DtypeChoice};

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    let model = UniFilter::load(&Location::default_model(), DeviceChoice::Cpu, DtypeChoice::F32)?;
    decode::bench(&mut criterion)?;
    resize::bench(&mut criterion)?;
    prepare::bench(&mut criterion, &model)?;
    forward::bench(&mut criterion, &model)?;
    criterion.final_summary();
    Ok(())
}

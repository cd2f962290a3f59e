use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny-qwen3");

fn cpu() -> Arithmetic {
    Arithmetic::of(DeviceChoice::Cpu, DtypeChoice::Auto)
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => std::fs::copy(entry.path(), target).map(drop).unwrap(),
        }
    }
}

/// Opens a checkpoint and does something with its parts.
fn with_parts<T>(folder: &Path, work: impl FnOnce(&[(&Checkpoint, &Weights)]) -> T) -> T {
    let parts = Parts::open(&Location::Folder(folder.into())).unwrap();
    let tower = parts.tower.as_ref().map(|(tower, weights)| (tower, weights));
    work(&[(&parts.checkpoint, &parts.weights)].into_iter().chain(tower).collect::<Vec<_>>())
}

/// Asks as `fingerprint` does, with this memory.
fn ask(memory: &Memory, folder: &Path, arithmetic: Arithmetic) -> String {
    with_parts(folder, |parts| remembered(Some(memory), parts, arithmetic)).unwrap()
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Waits until the files' last change lies so far back that they count as settled.
fn settle(folder: &Path) {
    let started = SystemTime::now();
    while !with_parts(folder, |parts| stamps(parts).unwrap().are_settled()) {
        assert!(started.elapsed().unwrap() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_folder_and_the_built_in_checkpoint_of_the_same_content_are_one_model() {
    let of = |location: &Location| fingerprint(location, DeviceChoice::Cpu, DtypeChoice::Auto).unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(Path::new(TINY), copy.path());
    // What tokenizer.json says too is not built in.
    for name in ["added_tokens.json", "merges.txt", "vocab.json"] {
        std::fs::remove_file(copy.path().join(name)).unwrap();
    }
    let folder = of(&Location::Folder(copy.path().into()));
    assert_eq!(folder, of(&Location::Embedded));
    assert_eq!(folder.len(), 64);
    let loaded = crate::load(&Location::Embedded, DeviceChoice::Cpu, DtypeChoice::F32).unwrap();
    assert_eq!(loaded.fingerprint().unwrap(), folder);
}

#[test]
fn other_arithmetic_is_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::new(folder.path().into());
    let of = |device, dtype| ask(&memory, Path::new(TINY), Arithmetic::of(device, dtype));
    let all = [
        of(DeviceChoice::Cpu, DtypeChoice::Auto),
        of(DeviceChoice::Cpu, DtypeChoice::Bf16),
        of(DeviceChoice::Cuda(0), DtypeChoice::Auto),
        of(DeviceChoice::Cuda(0), DtypeChoice::F32),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(of(DeviceChoice::Cpu, DtypeChoice::F32), all[0]);
    assert_eq!(of(DeviceChoice::Cuda(3), DtypeChoice::Bf16), all[2]);
}

#[test]
fn files_that_rest_are_hashed_once_and_a_change_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (model, known) = (folder.path().join("model"), folder.path().join("known"));
    copy_folder(Path::new(TINY), &model);
    let memory = Memory::new(known.clone());
    let weights = model.join("model.safetensors");
    let set_time = |time| File::options().write(true).open(&weights).unwrap().set_modified(time).unwrap();
    // However slow the machine is: a file that has just been written.
    set_time(SystemTime::now() + Duration::from_secs(3_600));
    let first = ask(&memory, &model, cpu());
    assert_eq!(entries(&known), 0, "files that have just been written were remembered");
    set_time(SystemTime::now());
    settle(&model);
    assert_eq!(ask(&memory, &model, cpu()), first);
    assert_eq!(entries(&known), 1);

    // What is remembered is what is given: an answer that was put there by hand comes back.
    let question = with_parts(&model, |parts| stamps(parts).unwrap().digest(&kind(cpu())));
    memory.put(&question, &"a".repeat(64));
    assert_eq!(ask(&memory, &model, cpu()), "a".repeat(64));
    memory.put(&question, &first);

    // One weight changes, in place: same size, and the time is set back to what it was.
    let before = std::fs::metadata(&weights).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    set_time(before);
    let changed = ask(&memory, &model, cpu());
    assert_ne!(changed, first);

    // A file appears that was not there.
    std::fs::write(model.join("siglip2-tiny-patch14-384/tokenizer.json"), "{}").unwrap();
    assert_ne!(ask(&memory, &model, cpu()), changed);
}

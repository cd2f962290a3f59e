use std::path::{Path, PathBuf};

use super::*;

const MODEL: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const LONG: Duration = Duration::from_secs(300);

/// A cache as another process has it: with a thread and memory of its own.
fn other_process(folder: &Path) -> ScoreCache {
    bounded(folder, 1 << 30)
}

fn bounded(folder: &Path, max_bytes: u64) -> ScoreCache {
    ScoreCache::start(Place::parse(folder.to_str().unwrap()).unwrap().unwrap(), max_bytes).unwrap()
}

fn key(n: u32) -> ScoreKey {
    let mut key = [0; 16];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut key);
    ScoreKey::from_bytes(key)
}

/// Scores whose bits are anything that a finite number can have; some rows failed.
fn known(n: u32) -> KnownScore {
    match n % 5 {
        0 => KnownScore::Failed(format!("row {n} cannot be scored: ünï").into()),
        _ => KnownScore::Score(f32::from_bits((n.wrapping_mul(0x9e37_79b9) & 0x7f7f_ffff) | (n << 31))),
    }
}

fn put(cache: &ScoreCache, rows: std::ops::Range<u32>) {
    let model = cache.model(MODEL);
    rows.for_each(|n| model.put(key(n), known(n)));
}

/// How many of the rows are known; what is known must be right to the bit.
fn found(cache: &ScoreCache, rows: std::ops::Range<u32>) -> usize {
    let model = cache.model(MODEL);
    let is_found = |n: &u32| {
        let Some(found) = model.get(&key(*n)) else { return false };
        match (&found, &known(*n)) {
            (KnownScore::Score(a), KnownScore::Score(b)) => assert_eq!(a.to_bits(), b.to_bits(), "row {n}"),
            (a, b) => assert_eq!(a, b, "row {n}"),
        }
        true
    };
    rows.filter(is_found).count()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("v1").join(&MODEL[..32])).into_iter().flatten().flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).filter(|p| p.extension().is_some()).collect();
    files.sort();
    files
}

#[test]
fn what_is_put_is_found_at_once_and_by_others_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/when/needed");
    let cache = other_process(&path);
    assert_eq!(found(&cache, 0..1_000), 0);
    put(&cache, 0..1_000);
    assert_eq!(found(&cache, 0..1_000), 1_000);
    assert!(cache.flush(LONG));
    assert_eq!(found(&cache, 0..1_000), 1_000);
    let other = other_process(&path);
    assert_eq!(found(&other, 0..2_000), 1_000);
    assert!(other.model("ffff").get(&key(1)).is_none(), "another model knows this one's scores");
    let numbers = [0.0_f32, -0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, -1.5];
    for (n, number) in (5_000..).zip(numbers) {
        other.model(MODEL).put(key(n), KnownScore::Score(number));
    }
    assert!(other.flush(LONG));
    let third = other_process(&path).model(MODEL);
    for (n, number) in (5_000..).zip(numbers) {
        let Some(KnownScore::Score(score)) = third.get(&key(n)) else { panic!("{number} is not known") };
        assert_eq!(score.to_bits(), number.to_bits());
    }
}

#[test]
fn what_is_no_score_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let cache = other_process(folder.path());
    let model = cache.model(MODEL);
    for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        model.put(key(1), KnownScore::Score(score));
    }
    model.put(key(2), KnownScore::Failed("x".repeat(5_000).into()));
    assert!(model.get(&key(1)).is_none() && model.get(&key(2)).is_none());
    assert!(cache.flush(LONG));
    assert_eq!(segments(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn scores_are_written_behind_and_seen_by_others_without_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, reader) = (other_process(folder.path()), other_process(folder.path()));
    assert_eq!(found(&reader, 0..10), 0);
    put(&writer, 0..10);
    let started = Instant::now();
    while found(&reader, 0..10) < 10 {
        assert!(started.elapsed() < LONG, "never seen");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(found(&reader, 0..10), 10);
}

#[test]
fn so_many_scores_are_written_without_waiting_for_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let cache = other_process(folder.path());
    put(&cache, 0..model::FULL as u32);
    let started = Instant::now();
    while segments(folder.path()).is_empty() {
        assert!(started.elapsed() < LONG, "never written");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(found(&cache, 0..model::FULL as u32), model::FULL);
}

#[test]
fn damaged_files_are_left_out_and_removed_and_foreign_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let cache = other_process(folder.path());
    for n in 0..6 {
        put(&cache, n * 100..n * 100 + 100);
        assert!(cache.flush(LONG));
    }
    let files = segments(folder.path());
    let [torn, flipped, empty, swapped, kept @ .., last] = files.as_slice() else { panic!("{files:?}") };
    let content = std::fs::read(torn).unwrap();
    // Row by row: on a slow machine, a put that the clock cuts in two is in two files.
    let left: Vec<_> = kept.iter().chain([last]).map(|path| open_segment(path)).collect();
    let is_left = |n: u32| left.iter().any(|segment| segment.get(&key(n)).is_some());
    std::fs::write(torn, &content[..content.len() / 2]).unwrap();
    let mut bytes = std::fs::read(flipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(flipped, bytes).unwrap();
    std::fs::write(empty, "").unwrap();
    std::fs::copy(last, swapped).unwrap();
    let foreign = torn.with_file_name("other.arrow");
    std::fs::write(&foreign, &content).unwrap();

    let other = other_process(folder.path());
    for n in 0..600 {
        assert_eq!(found(&other, n..n + 1), usize::from(is_left(n)), "row {n}");
    }
    assert!((1..600).contains(&found(&other, 0..600)));
    assert!([torn, flipped, empty, swapped].iter().all(|path| !path.exists()), "a damaged file was not removed");
    assert!(foreign.exists() && last.exists() && kept.iter().all(|path| path.exists()));
}

/// Opens a file by itself.
fn open_segment(path: &Path) -> segment::Segment {
    let name = name::SegmentName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
    segment::Segment::open(name, &std::fs::read(path).unwrap().into()).unwrap()
}

/// A file whose name fits its content but which is no segment of scores: as damaged as any other.
#[test]
fn a_segment_that_holds_something_else_is_left_out() {
    use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use datafusion::arrow::ipc::writer::FileWriter;

    let folder = tempfile::tempdir().unwrap();
    let cache = other_process(folder.path());
    put(&cache, 0..10);
    assert!(cache.flush(LONG));
    let place = folder.path().join("v1").join(&MODEL[..32]);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("key", numbers)]).unwrap();
    let mut arrow = Vec::new();
    let mut writer = FileWriter::try_new(&mut arrow, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let before = segments(folder.path());
    let good = std::fs::read(&before[0]).unwrap();
    let footer_lies = [&good[..good.len() - 10], &[0xff, 0xff, 0xff, 0x7f], b"ARROW1"].concat();
    for content in [b"no Arrow file".as_slice(), b"ARROW1", &arrow, &footer_lies, &good[1..]] {
        let name = name::SegmentName::new(1, content);
        std::fs::write(place.join(name.to_string()), content).unwrap();
    }
    assert_eq!(found(&other_process(folder.path()), 0..10), 10);
    assert_eq!(segments(folder.path()), before);
}

#[test]
fn many_segments_become_few_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = other_process(folder.path());
    for n in 0..60 {
        put(&cache, n * 10..n * 10 + 15);
        assert!(cache.flush(LONG));
        assert!(segments(folder.path()).len() <= 17, "{} segments", segments(folder.path()).len());
    }
    assert_eq!(found(&cache, 0..605), 605);
    let other = other_process(folder.path());
    assert_eq!(found(&other, 0..605), 605);
}

#[test]
fn the_oldest_scores_go_when_the_bound_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let size = |folder: &Path| segments(folder).iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
    let cache = other_process(folder.path());
    put(&cache, 0..1_000);
    assert!(cache.flush(LONG));
    let one = size(folder.path());
    // What was written in the same second is of the same age: the first segment is made older.
    for first in segments(folder.path()) {
        let name = first.file_name().unwrap().to_str().unwrap();
        std::fs::rename(&first, first.with_file_name(format!("0000000001{}", &name[10..]))).unwrap();
    }
    let small = bounded(folder.path(), one * 5 / 2);
    for n in 1..3 {
        put(&small, n * 1_000..n * 1_000 + 1_000);
        assert!(small.flush(LONG));
    }
    assert!(size(folder.path()) <= one * 5 / 2, "{} bytes", size(folder.path()));
    let other = other_process(folder.path());
    assert_eq!((found(&other, 0..1_000), found(&other, 1_000..3_000)), (0, 2_000));
    assert_eq!(found(&small, 0..1_000), 0);
}

#[test]
fn a_folder_that_cannot_be_written_costs_no_score_of_this_process_and_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let cache = other_process(&file.join("cache"));
    put(&cache, 0..1_000);
    assert!(cache.flush(LONG));
    assert_eq!(found(&cache, 0..1_000), 1_000);
    let model = cache.model(MODEL);
    let reason: Arc<str> = "x".repeat(4_000).into();
    for n in 10_000..40_000 {
        model.put(key(n), KnownScore::Failed(Arc::clone(&reason)));
    }
    let kept = (10_000..40_000).filter(|n| model.get(&key(*n)).is_some()).count();
    assert!((10_000..17_000).contains(&kept), "{kept} reasons of 4 kB were kept");
    assert_eq!(found(&cache, 0..1_000), 1_000);
}

#[test]
fn the_cache_tells_what_it_holds_and_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = other_process(folder.path());
    put(&cache, 0..100);
    assert!(cache.flush(LONG));
    put(&cache, 100..150);
    let other_model = "ab".repeat(32);
    cache.model(&other_model).put(key(1), known(1));
    assert!(cache.flush(LONG));
    let place = Place::parse(folder.path().to_str().unwrap()).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = runtime.block_on(info(&place)).unwrap();
    let summary: Vec<_> = shown.models.iter().map(|m| (m.fingerprint.as_str(), m.entries, m.segments)).collect();
    // Two, unless the clock has cut a put in two.
    let files = segments(folder.path()).len() as u64;
    assert!(files >= 2);
    assert_eq!(summary, [(&MODEL[..32], 150, files), (&other_model[..32], 1, 1)]);
    let written: u64 = segments(folder.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(shown.models[0].bytes, written);

    std::fs::write(folder.path().join("v1/README"), "foreign").unwrap();
    for (prefix, found) in [("0f", 0), ("", 2)] {
        let error = runtime.block_on(clear(&place, Some(prefix))).unwrap_err().to_string();
        assert!(error.contains(&format!("{found} models")), "{error}");
    }
    let cleared = runtime.block_on(clear(&place, Some(MODEL))).unwrap();
    assert_eq!(cleared, Cleared { segments: files, bytes: written });
    assert_eq!(found(&other_process(folder.path()), 0..150), 0);
    assert_eq!(runtime.block_on(clear(&place, None)).unwrap().segments, 1);
    assert_eq!(runtime.block_on(info(&place)).unwrap().models, []);
    assert!(folder.path().join("v1/README").exists());
}

#[test]
fn a_cache_is_one_a_place_and_none_if_it_is_off() {
    use datafusion::config::ExtensionOptions;

    let folder = tempfile::tempdir().unwrap();
    let open = |path: &str| {
        let mut options = TamisOptions::default();
        options.set("cache.path", path).unwrap();
        ScoreCache::open(&options)
    };
    assert!(ScoreCache::open(&TamisOptions::default()).is_none());
    assert!(open("off").is_none() && open("https://host/scores").is_none());
    let path = folder.path().to_str().unwrap();
    let cache = open(path).unwrap();
    assert!(Arc::ptr_eq(&cache, &open(&format!("file://{path}")).unwrap()));
    assert!(Arc::ptr_eq(&cache.model(MODEL), &open(path).unwrap().model(&MODEL[..32])));
    put(&cache, 0..10);
    flush(LONG);
    assert_eq!(found(&other_process(folder.path()), 0..10), 10);
}

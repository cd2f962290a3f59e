use super::*;

fn identity() -> Identity {
    Identity { provider: "openai".into(), model: "m".into(), prompt: "captions-1".into(), seed: 1 }
}

fn answer(key: &str) -> Record {
    let usage = Usage { input_tokens: 10, output_tokens: 5, cost_usd: 0.25 };
    Record::Answer { key: key.into(), texts: ["a", "b", "c", "d"].map(str::to_string), usage }
}

fn written(path: &Path) {
    let (mut journal, told) = Journal::open(path, &identity(), false).unwrap();
    assert!(told.answers.is_empty());
    for record in [
        Record::Asked { key: "1".into() },
        Record::Asked { key: "2".into() },
        answer("1"),
        Record::Rejected { key: "3".into(), reason: "no".into(), usage: Usage::default() },
        Record::BatchWanted { keys: vec!["5".into()], at: 7 },
        Record::BatchMade { id: "b".into(), keys: vec!["5".into()] },
        answer("4"),
    ] {
        journal.append(&record).unwrap();
    }
}

#[test]
fn what_was_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    written(&path);
    let (_journal, told) = Journal::open(&path, &identity(), true).unwrap();
    assert_eq!((told.answers.len(), told.unknown, told.spent.cost_usd), (2, 1, 0.5));
    assert_eq!(told.rejected["3"], (1, "no".into()));
    assert_eq!(told.batches["b"], ["5"]);
    assert_eq!(told.wanted, None);
    assert!(matches!(Journal::open(&path, &identity(), true), Err(JournalError::InUse { .. })));
}

#[test]
fn cut_at_any_byte_it_tells_what_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    written(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut last = 0;
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (mut journal, told) = Journal::open(&path, &identity(), true).unwrap();
        assert!(told.answers.len() >= last);
        last = told.answers.len();
        journal.append(&answer("9")).unwrap();
        drop(journal);
        let (_, told) = Journal::open(&path, &identity(), true).unwrap();
        assert_eq!(told.answers.len(), last + 1, "at {length} bytes");
    }
}

#[test]
fn another_run_s_journal_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    written(&path);
    let error = Journal::open(&path, &identity(), false).unwrap_err().to_string();
    assert!(error.contains("2 of them") && error.contains("--resume"), "{error}");
    let other = Identity { model: "n".into(), ..identity() };
    let error = Journal::open(&path, &other, true).unwrap_err().to_string();
    assert!(error.contains("another model: m there, n here"), "{error}");
    for other in ["no\njournal\n", "no journal"] {
        std::fs::write(&path, other).unwrap();
        assert!(Journal::open(&path, &identity(), true).unwrap_err().to_string().contains("line 1"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
    }
}

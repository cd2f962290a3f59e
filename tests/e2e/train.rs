//! `tamis train`: models that learn, and trainings that are killed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Output, Tamis, root};

/// A checkpoint of random weights, as the reference saves it.
const TINY: &str = "models/tests/golden/tiny-qwen2";
const IMAGES: &str = "models/tests/golden/images";

/// Captions of the golden cases, with labels 0 to 3 in turn, in the published training set's form.
fn captions(folder: &Path) -> PathBuf {
    let cases = std::fs::read(root().join(TINY).join("cases.json")).expect("cases");
    let cases: Value = serde_json::from_slice(&cases).expect("JSON");
    let cases = cases["captions"].as_array().expect("captions");
    let row = |(number, case): (usize, &Value)| {
        let image = case["image"].as_str().and_then(|path| path.rsplit('/').next()).expect("an image");
        json!({ "image": image, "text": format!("<image>\n{}", case["caption"].as_str().expect("a caption")), "label": number % 4 })
    };
    let path = folder.join("captions.json");
    let rows: Vec<Value> = cases.iter().take(8).enumerate().map(row).collect();
    std::fs::write(&path, serde_json::to_vec(&rows).expect("JSON")).expect("a file");
    path
}

fn train(data: &Path, output: &Path, args: &[&str]) -> Tamis {
    let (data, output) = (data.display().to_string(), output.display().to_string());
    let common =
        ["train", "--model", TINY, "--data", &data, "--image-folder", IMAGES, "-o", &output, "--batch-size", "4"];
    Tamis::new(common.iter().chain(args))
}

/// The lines of a training's metrics that are steps, or those that are not.
fn lines(folder: &Path, are_steps: bool) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line.get("loss").is_some() == are_steps).collect()
}

fn losses(folder: &Path) -> Vec<f64> {
    lines(folder, true).iter().map(|line| line["loss"].as_f64().expect("a loss")).collect()
}

fn succeeded(output: &Output) {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// Both files of a folder's model that hang on its training.
fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("model.safetensors")).expect("weights")
}

/// Losses of three steps in PyTorch 2.7.1 with transformers 4.52.4, by benches/side_by_side/torch_train.py over the same rows.
#[test]
fn losses_are_those_of_pytorch() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = captions(folder.path());
    let expected = [
        ("1", [22.068_090_438_842_773, 22.961_137_771_606_445, 21.900_594_711_303_71]),
        ("2", [3.016_748_428_344_726_6, 1.685_066_223_144_531_2, 1.210_068_464_279_174_8]),
    ];
    for (stage, expected) in expected {
        let output = folder.path().join(stage);
        let args = [
            "--stage",
            stage,
            "--steps",
            "3",
            "--learning-rate",
            "1e-4",
            "--warmup",
            "0",
            "--clip",
            "none",
            "--no-shuffle",
        ];
        succeeded(&train(&data, &output, &args).run());
        for (found, expected) in losses(&output).into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-5 * expected.max(1.),
                "stage {stage}: {found}, {expected} in PyTorch"
            );
        }
    }
}

#[test]
fn a_trained_model_scores_and_nothing_is_left_lying() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, output) = (captions(folder.path()), folder.path().join("filter"));
    let args = ["--stage", "2", "--epochs", "4", "--learning-rate", "1e-3", "--aspect", "pad", "--validation"];
    let args: Vec<&str> = args.into_iter().chain([data.to_str().expect("a path")]).collect();
    let trained = train(&data, &output, &args).run();
    succeeded(&trained);
    assert!(trained.stderr.contains("8 samples, 8 to measure on"), "{}", trained.stderr);
    assert!(trained.stdout.is_empty(), "{}", trained.stdout);
    let evaluated = lines(&output, false);
    assert_eq!((losses(&output).len(), evaluated.len()), (8, 4));
    assert!(evaluated.iter().all(|line| line["evaluated"]["accuracy"].is_number()), "{evaluated:?}");
    let config: Value =
        serde_json::from_slice(&std::fs::read(output.join("config.json")).expect("a file")).expect("JSON");
    assert_eq!(config["image_aspect_ratio"], "pad");
    assert!(!output.join("state").exists() && !output.join("cache").exists());
    let report = std::fs::read_to_string(output.join("report/report.md")).expect("a report");
    assert!(report.contains("| 8 |") && output.join("report/curves.svg").exists(), "{report}");
    let events = std::fs::read_dir(output.join("tensorboard")).expect("a folder").count();
    assert_eq!(events, 1);

    // The model of the best step, scored by a session of its own.
    let best = evaluated.iter().max_by(|a, b| {
        let accuracy = |line: &Value| line["evaluated"]["accuracy"].as_f64().expect("an accuracy");
        accuracy(a).total_cmp(&accuracy(b))
    });
    assert!(best.is_some());
    let model = format!("unifilter={}", output.display());
    let query = format!("SELECT unifilter('{IMAGES}/c02.png', 'A woman in an orange space suit') AS score");
    let scored = Tamis::sql(["--model", &model], &query).run();
    succeeded(&scored);
    let row: Value = serde_json::from_str(scored.stdout.trim()).expect("a row");
    assert!(row["score"].is_number(), "{row}");
}

#[test]
fn states_computed_once_more_give_the_same_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = captions(folder.path());
    let (kept, recomputed) = (folder.path().join("kept"), folder.path().join("recomputed"));
    let args =
        ["--stage", "2", "--steps", "3", "--unfreeze", "vision", "--next-token", "0.3", "--learning-rate", "1e-4"];
    succeeded(&train(&data, &kept, &args).run());
    succeeded(&train(&data, &recomputed, &args.into_iter().chain(["--recompute"]).collect::<Vec<_>>()).run());
    assert_eq!(losses(&kept), losses(&recomputed));
    assert!(weights(&kept) == weights(&recomputed), "the models differ");
}

#[test]
fn a_training_that_is_killed_goes_on_to_the_same_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = captions(folder.path());
    let args = ["--stage", "2", "--steps", "40", "--learning-rate", "1e-4", "--save-every", "3", "--seed", "7"];
    let undisturbed = folder.path().join("undisturbed");
    succeeded(&train(&data, &undisturbed, &args).run());
    let killed = folder.path().join("killed");
    train(&data, &killed, &args).kill_when(|| steps(&killed) > 7);
    assert!(killed.join("state").exists(), "it had ended before it was killed");
    let refused = train(&data, &killed, &args).run();
    assert!(refused.code == Some(2) && refused.stderr.contains("--resume"), "{}", refused.stderr);
    let resumed: Vec<&str> = args.into_iter().chain(["--resume"]).collect();
    let output = train(&data, &killed, &resumed).run();
    succeeded(&output);
    assert!(output.stderr.contains("going on after step"), "{}", output.stderr);
    assert_eq!(losses(&killed), losses(&undisturbed));
    assert!(weights(&killed) == weights(&undisturbed), "the models differ");
    let ended = train(&data, &killed, &resumed).run();
    assert!(ended.code == Some(0) && ended.stderr.contains("its end already"), "{ended:?}");

    // And with other settings it does not.
    let stopped = folder.path().join("stopped");
    let (output, _) = train(&data, &stopped, &args).signal_when("-TERM", || steps(&stopped) > 2);
    assert!(output.code == Some(130) && output.stderr.contains("stopped"), "{output:?}");
    for (flag, value, told) in [("--freeze", "head", "which parts are trained"), ("--clip", "2", "--clip")] {
        let args: Vec<&str> = resumed.iter().copied().chain([flag, value]).collect();
        let refused = train(&data, &stopped, &args).run();
        assert!(refused.code == Some(2) && refused.stderr.contains(told), "{}", refused.stderr);
    }
}

/// How many steps a training that runs has noted.
fn steps(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn rows_that_are_no_samples_are_named_and_the_others_learnt() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, b"no picture").expect("a file");
    let data = folder.path().join("rows.csv");
    let rows = format!(
        "uid,image,text,level\na,{IMAGES}/c02.png,an astronaut,3\nb,{IMAGES}/c02.png,a cat,7\nc,{IMAGES}/none.png,a cat,1\n\
         d,{},a cat,1\ne,{IMAGES}/c03.png,,2\nf,{IMAGES}/c03.png,a cat,\ng,{IMAGES}/c03.png,a cameraman,2\n",
        broken.display()
    );
    std::fs::write(&data, rows).expect("a file");
    let output = folder.path().join("filter");
    let trained = train(&data, &output, &["--stage", "2", "--steps", "1"]).run();
    succeeded(&trained);
    let refused = std::fs::read_to_string(output.join("refused.jsonl")).expect("a file");
    let reasons: Vec<Value> = refused.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let reason = |uid: &str| {
        let row = reasons.iter().find(|row| row["uid"] == uid);
        row.and_then(|row| row["reason"].as_str()).unwrap_or_else(|| panic!("{uid} is not in {refused}")).to_string()
    };
    assert!(reason("b").contains("label 7 is outside"), "{}", reason("b"));
    assert!(reason("c").contains("none.png") && reason("d").starts_with("image"), "{} {}", reason("c"), reason("d"));
    assert!(reason("e").contains("NULL") && reason("f").contains("label is NULL"), "{} {}", reason("e"), reason("f"));
    assert!(reasons.len() == 5 && trained.stderr.contains("2 samples"), "{}", trained.stderr);
}

#[test]
fn what_cannot_be_trained_is_one_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = captions(folder.path());
    let empty = folder.path().join("empty.json");
    std::fs::write(&empty, "[]").expect("a file");
    let table = folder.path().join("table.csv");
    std::fs::write(&table, "picture,caption\nx,y\n").expect("a file");
    let cases: [(&Path, &[&str], i32, &str); 6] = [
        (&empty, &["--stage", "2"], 1, "no sample to train on"),
        (&table, &["--stage", "2"], 2, "expected the columns image and text"),
        (&data, &["--stage", "2", "--freeze", "projector,language,head"], 2, "every part of the model is frozen"),
        (&data, &["--stage", "2", "--freeze", "eyes"], 2, "no part of the model"),
        (&data, &["--stage", "3"], 2, "3 is not in 1..=2"),
        (&data, &["--stage", "2", "--dtype", "f16"], 2, "f32 or bf16"),
    ];
    for (number, (data, args, code, message)) in cases.into_iter().enumerate() {
        let output = train(data, &folder.path().join(number.to_string()), args).run();
        assert!(output.code == Some(code) && output.stderr.contains(message), "{args:?}: {output:?}");
    }
    let unfit = folder.path().join("unfit");
    copy(&root().join(TINY), &unfit);
    let config = unfit.join("config.json");
    let text = std::fs::read_to_string(&config)
        .expect("a file")
        .replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4");
    std::fs::write(&config, text).expect("a file");
    let (unfit, data) = (unfit.display().to_string(), data.display().to_string());
    let args = ["train", "--model", &unfit, "--data", &data, "--image-folder", IMAGES, "--stage", "2", "-o"];
    let output = Tamis::new(args.iter().chain([&folder.path().join("n").to_str().expect("a path")])).run();
    assert!(output.code == Some(1) && output.stderr.contains("model.layers.3."), "{output:?}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let place = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &place),
            false => std::fs::write(place, std::fs::read(&path).expect("a file")).expect("a file"),
        }
    }
}

//! The program itself, with few samples: what it writes down is what it prints, and each figure says how it was measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

use std::process::{Command, Output};

use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn figures_are_printed_and_written_with_their_method() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let output = bench(&[
        "--quick",
        "--only",
        "supply,start",
        "--out",
        &file.display().to_string(),
    ]);
    let (printed, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{printed}\n{said}");
    let figures: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for figure in &figures {
        let keys: Vec<&String> = figure.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["aim", "holds", "method", "name", "unit", "value"],
            "{figure}"
        );
        assert!(figure["value"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(figure["method"].as_str().unwrap().len() > 20, "{figure}");
        assert!(
            printed.contains(figure["name"].as_str().unwrap()),
            "{printed}"
        );
    }
    let measured = |what: &str| {
        let mut names = figures.iter().filter_map(|figure| figure["name"].as_str());
        names.any(|name| name.starts_with(what))
    };
    assert!(measured("supply_") && measured("start_"), "{printed}");
}

#[test]
fn a_benchmark_that_is_not_there_is_named_with_those_that_are() {
    let output = bench(&["--only", "nothing"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("nothing") && said.contains("overhead"),
        "{said}"
    );
}

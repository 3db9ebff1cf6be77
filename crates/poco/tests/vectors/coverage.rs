//! The table in `COVERAGE.md` tells of every category of vectors, with the number that there really is.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// Entries of the specification, in all categories.
const ALL: usize = 322;

/// What the table says of a category.
struct Row {
    category: String,
    entries: usize,
    covered: String,
    left: String,
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(Path::new(CRATE).join("COVERAGE.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let [category, entries, covered, left] = cells(line).try_into().unwrap_or_else(|other| {
            panic!("a row must have four cells: {other:?}");
        });
        Row {
            category: category.trim_matches('`').to_owned(),
            entries: entries
                .parse()
                .unwrap_or_else(|_| panic!("{entries} entries of {category}")),
            covered,
            left,
        }
    })
    .collect()
}

/// The files of vectors of this crate and of `chain`, with the number of their entries.
fn fixtures() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for folder in ["tests/vectors", "../chain/tests/vectors"] {
        for file in std::fs::read_dir(Path::new(CRATE).join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "json") {
                let entries: Vec<Value> =
                    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                let category = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let twice = found.insert(category.clone(), entries.len());
                assert_eq!(twice, None, "{category} is in both crates");
            }
        }
    }
    found
}

#[test]
fn the_table_names_every_category_with_its_number_of_entries() {
    let told: BTreeMap<String, usize> = table()
        .into_iter()
        .map(|row| (row.category, row.entries))
        .collect();
    assert_eq!(told, fixtures());
    assert_eq!(told.values().sum::<usize>(), ALL, "entries are missing");
    assert_eq!(table().len(), told.len(), "a category has two rows");
}

#[test]
fn what_is_not_covered_has_a_reason() {
    for row in table() {
        let told = |cell: &str| cell.len() > 2 && cell != "none";
        assert!(
            told(&row.covered) || told(&row.left),
            "{} has neither cover nor reason",
            row.category
        );
        if row.left.starts_with("all") {
            assert!(
                row.left.contains(':'),
                "{}: why not? {}",
                row.category,
                row.left
            );
        }
    }
}

#[test]
fn no_entry_is_twice() {
    let mut ids: Vec<String> = crate::Entry::files()
        .iter()
        .flat_map(|file| crate::Entry::all(file.trim_end_matches(".json")))
        .map(|entry| entry.id)
        .collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

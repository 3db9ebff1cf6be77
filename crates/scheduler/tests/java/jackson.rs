//! What our scheduler answered, decoded by the Java worker's own JSON library, where a JDK is and `make setup` has fetched the library.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::Answer;
use crate::worker::Variant;

/// Bodies to decode, with what a Java worker takes each for.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Vec<(&'static str, String)>);

impl Bodies {
    /// One more, as the answer to this request; an empty one decodes to nothing.
    pub(crate) fn add(&mut self, path: &str, status: u16, body: &str) {
        let kind = match path.split('?').next().unwrap_or(path) {
            "/workers/config" => "configuration",
            "/workers/computing" => "computing",
            "/replicates/available" => "summary",
            "/replicates/interrupted" => "interrupted",
            path if path.ends_with("/updateStatus") => "action",
            _ => return,
        };
        // Anything but success is an exception there, whatever its body.
        if (200..300).contains(&status) && !body.is_empty() {
            self.0.push((kind, body.to_owned()));
        }
    }

    /// One more, as a worker of this version decodes it.
    pub(crate) fn add_for(&mut self, variant: Variant, path: &str, answer: &Answer) {
        let before = self.0.len();
        self.add(path, answer.status.as_u16(), &answer.text);
        for (kind, _) in &mut self.0[before..] {
            *kind = match (variant, *kind) {
                (Variant::Eight, "configuration") => "configuration 8",
                (Variant::Eight, "summary") => "summary 8",
                (Variant::Eight, "interrupted") => "interrupted 8",
                (_, same) => same,
            };
        }
    }

    /// Those of another list too.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// One more that was pushed.
    pub(crate) fn add_push(&mut self, body: &str) {
        self.0.push(("push", body.to_owned()));
    }

    /// Decodes all of them. Says so and does nothing where there is no JDK.
    pub(crate) fn decode(&self) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let library = root.join("target/ci/jackson");
        if !library.is_dir() {
            eprintln!(
                "not decoded by Java: {} is missing; `make setup` fetches it where Java and Maven are",
                library.display()
            );
            return;
        }
        let lines: String = self
            .0
            .iter()
            .map(|(kind, body)| format!("{}\n", json!({"as": kind, "body": body})))
            .collect();
        let mut java = Command::new("java")
            .arg("-cp")
            .arg(library.join("*"))
            .arg(root.join("e2e/java/Strict.java"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        java.stdin
            .take()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        let output = java.wait_with_output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().count(), self.0.len());
        for ((kind, body), said) in self.0.iter().zip(said.lines()) {
            assert_eq!(said, "ok", "Java does not take as {kind}: {body}");
        }
    }
}

#[test]
fn what_java_would_not_take_is_not_taken_here_either() {
    let library = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/ci/jackson");
    if !library.is_dir() {
        return;
    }
    // The original's own answer, which its worker cannot decode (Q13).
    let recorded = crate::STORIES
        .iter()
        .flat_map(|(_, text)| crate::exchanges(text))
        .find(|one| one.path.starts_with("/replicates/interrupted") && one.response.len() > 2)
        .unwrap();
    let mut bodies = Bodies::default();
    bodies.add(&recorded.path, 200, &recorded.response);
    let refused = std::panic::catch_unwind(|| bodies.decode());
    assert!(refused.is_err());
}

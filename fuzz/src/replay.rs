//! The corpus of a target, for tests.

use std::path::Path;

/// Calls `run` with each file of the target's corpus, and says which one it was where a promise is broken.
pub fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let files =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder is readable").path();
        let data = std::fs::read(&path).expect("the file is readable");
        let broken = std::panic::catch_unwind(|| run(&data));
        assert!(broken.is_ok(), "a promise is broken by {}", path.display());
        count += 1;
    }
    assert!(count > 10, "{count} files in {}", folder.display());
}

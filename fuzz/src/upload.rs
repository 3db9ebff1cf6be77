//! The body of an upload to the result proxy, which is read piece by piece.

use serde_json::Value;
use wire::message::ResultModel;

const MOST: u64 = 64 * 1024;

pub fn run(data: &[u8]) {
    let read = |piece: usize| result_proxy::fuzzing::upload(MOST, data.chunks(piece));
    let whole = read(usize::MAX);
    for piece in [1, 3, 1000] {
        assert_eq!(read(piece), whole, "in pieces of {piece}");
    }
    let Some((task, archive)) = whole else {
        return;
    };
    assert!(archive.len() as u64 <= MOST);
    // The reader that takes it whole reads the same, where it takes what is there.
    if let Ok(model) = serde_json::from_slice::<ResultModel>(data) {
        assert_eq!(model.zip, archive);
        let parsed = task.as_deref().map(str::parse);
        assert_eq!(
            parsed.unwrap_or(Ok(model.chain_task_id)),
            Ok(model.chain_task_id)
        );
    }
    if let Ok(Value::Object(members)) = serde_json::from_slice(data) {
        assert_eq!(
            members.get("chainTaskId").and_then(Value::as_str),
            task.as_deref()
        );
    }
}

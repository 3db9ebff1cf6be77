//! The environment that a standard application starts with (spec `worker.md` §6.4). It never holds a secret.

use crate::description::TaskDescription;

/// `NAME=value` entries for the application of `task`.
#[must_use]
pub fn of(task: &TaskDescription) -> Vec<String> {
    // Both dataset names carry the address, the zero address when the deal has no dataset.
    let dataset = poco::hex::lower(&task.dataset);
    [
        ("IEXEC_DEAL_ID", task.deal.to_string()),
        ("IEXEC_TASK_ID", task.task.to_string()),
        ("IEXEC_TASK_INDEX", task.index.to_string()),
        ("IEXEC_BOT_TASK_INDEX", task.index.to_string()),
        ("IEXEC_BOT_SIZE", task.bot_size.to_string()),
        ("IEXEC_BOT_FIRST_INDEX", task.bot_first.to_string()),
        ("IEXEC_IN", super::profile::CONTAINER_INPUT.to_owned()),
        ("IEXEC_OUT", super::profile::CONTAINER_OUTPUT.to_owned()),
        ("IEXEC_DATASET_ADDRESS", dataset.clone()),
        ("IEXEC_DATASET_FILENAME", dataset),
        ("IEXEC_INPUT_FILES_NUMBER", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| format!("{name}={value}"))
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::description::tests::standard_task;

    #[test]
    fn a_task_without_dataset_and_input_files_gets_exactly_these_variables() {
        let task = standard_task();
        let mut env = super::of(&task);
        env.sort();
        let id = |byte: u8| format!("0x{}", format!("{byte:02x}").repeat(32));
        let mut expected = vec![
            format!("IEXEC_DEAL_ID={}", id(0xdd)),
            format!("IEXEC_TASK_ID={}", id(0x11)),
            "IEXEC_TASK_INDEX=2".to_owned(),
            "IEXEC_BOT_TASK_INDEX=2".to_owned(),
            "IEXEC_BOT_SIZE=3".to_owned(),
            "IEXEC_BOT_FIRST_INDEX=1".to_owned(),
            "IEXEC_IN=/iexec_in".to_owned(),
            "IEXEC_OUT=/iexec_out".to_owned(),
            format!("IEXEC_DATASET_ADDRESS=0x{}", "0".repeat(40)),
            format!("IEXEC_DATASET_FILENAME=0x{}", "0".repeat(40)),
            "IEXEC_INPUT_FILES_NUMBER=0".to_owned(),
        ];
        expected.sort();
        assert_eq!(env, expected);
    }
}

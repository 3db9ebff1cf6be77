//! The environment that a standard application starts with (spec `worker.md` §6.4). It never holds a secret.

use crate::description::TaskDescription;
use crate::inputs;

/// `NAME=value` entries for the application of `task`.
#[must_use]
pub fn of(task: &TaskDescription) -> Vec<String> {
    // Both dataset names carry the address, the zero address when the deal has no dataset.
    let dataset = poco::hex::lower(&task.dataset);
    let files = &task.params.input_files;
    let mut variables: Vec<String> = [
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
        ("IEXEC_INPUT_FILES_NUMBER", files.len().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| format!("{name}={value}"))
    .collect();
    if !files.is_empty() {
        let folder = super::profile::CONTAINER_INPUT;
        variables.push(format!("IEXEC_INPUT_FILES_FOLDER={folder}"));
    }
    for (at, url) in files.iter().enumerate() {
        let (number, name) = (at + 1, inputs::file_name(url));
        variables.push(format!("IEXEC_INPUT_FILE_NAME_{number}={name}"));
    }
    variables
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use poco::deal_params::DealParams;

    use crate::description::TaskDescription;
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

    #[test]
    fn a_task_with_dataset_and_input_files_is_told_their_names() {
        let urls = r#"{"iexec_input_files":["https://a.example/é","https://b.example/"]}"#;
        let task = TaskDescription {
            dataset: Address::repeat_byte(0xAB),
            params: DealParams::parse(urls),
            ..standard_task()
        };
        let env = super::of(&task);
        let dataset = format!("0x{}", "ab".repeat(20));
        for expected in [
            format!("IEXEC_DATASET_ADDRESS={dataset}"),
            format!("IEXEC_DATASET_FILENAME={dataset}"),
            "IEXEC_INPUT_FILES_NUMBER=2".to_owned(),
            "IEXEC_INPUT_FILES_FOLDER=/iexec_in".to_owned(),
            // sha256 of the URL's text as it stands, not as a program would write it.
            "IEXEC_INPUT_FILE_NAME_1=0x0b43d328ce58b6ee626236937149734da54e1734fbcd0a18bd2ecb6058db7b9e".to_owned(),
            "IEXEC_INPUT_FILE_NAME_2=0x5d1dd98498cb9c1e0fa2a79db2aa6f6c0cc5a03947fa0a540431ca510a131058".to_owned(),
        ] {
            assert!(env.contains(&expected), "{expected} in {env:#?}");
        }
        assert!(
            !env.iter()
                .any(|one| one.starts_with("IEXEC_INPUT_FILE_NAME_0"))
        );
    }
}

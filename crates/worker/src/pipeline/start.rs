//! The first step: whether this task can be worked on at all (spec `worker.md` §5.5). What a standard task cannot have (an enclave, an
//! encrypted result, a bulk request) and what this worker cannot do for it are refused here, before anything is downloaded.

use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use super::work::{Acted, Learned, OF_LATE, Work};
use crate::description::TaskDescription;
use crate::journal::Outcome;
use crate::upload;

pub(super) async fn check(work: &Work) -> Acted {
    let failed = |cause| Outcome::because(ReplicateStatus::StartFailed, cause);
    let description = match work.description().await {
        Ok(description) => description,
        Err(cause) => return failed(cause).into(),
    };
    let learned = Learned {
        image: Some(description.image.clone()),
        final_deadline: Some(description.final_deadline),
        ..Learned::default()
    };
    let outcome = match work.cannot_contribute(None, OF_LATE).await {
        Some(cause) => failed(cause),
        None => match refusal(
            description,
            work.shared.settings.pool,
            work.shared.settings.gpu,
        ) {
            Some((cause, reason)) => {
                tracing::warn!(task = %work.task, cause = cause.name(), reason, "this task is refused");
                failed(cause)
            }
            None => match upload::refused_proxy(work, description).await {
                Some(reason) => {
                    let cause = Cause::TaskDescriptionInvalid;
                    tracing::warn!(task = %work.task, cause = cause.name(), reason, "this task is refused: its result could not be uploaded");
                    failed(cause)
                }
                None => Outcome::plain(ReplicateStatus::Started),
            },
        },
    };
    Acted { outcome, learned }
}

/// Why this worker does not take a task of this description.
fn refusal(
    description: &TaskDescription,
    pool: alloy_primitives::Address,
    gpu: bool,
) -> Option<(Cause, &'static str)> {
    let params = &description.params;
    let rows = [
        (
            description.pool != pool,
            Cause::TaskDescriptionInvalid,
            "its deal was made with another workerpool",
        ),
        (
            description.tag.needs_enclave()
                || description.tag.tee_framework().is_some()
                || description.tag.is_impossible(),
            Cause::TeeNotSupported,
            "it demands an enclave, which this worker does not have",
        ),
        (
            description.tag.gpu() && !gpu,
            Cause::TaskDescriptionInvalid,
            "it demands a GPU, which this worker does not offer (IEXEC_WORKER_GPU_ENABLED)",
        ),
        (
            params.result_encryption,
            Cause::TaskDescriptionInvalid,
            "an encrypted result needs an enclave",
        ),
        (
            !params.bulk_cid.is_empty(),
            Cause::TaskDescriptionInvalid,
            "a bulk request needs an enclave",
        ),
    ];
    rows.into_iter()
        .find(|(applies, ..)| *applies)
        .map(|(_, cause, reason)| (cause, reason))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use poco::deal_params::DealParams;
    use poco::tag::Tag;

    use super::*;
    use crate::description::tests::standard_task;

    #[test]
    fn a_standard_task_of_our_pool_is_taken() {
        let pool = Address::repeat_byte(5);
        assert_eq!(refusal(&standard_task(), pool, false), None);
        let mut bits = Tag::NONE.0;
        bits.0[30] |= 1;
        let on_gpu = TaskDescription {
            tag: Tag(bits),
            ..standard_task()
        };
        assert!(on_gpu.tag.gpu());
        assert_eq!(refusal(&on_gpu, pool, true), None);
        assert!(refusal(&on_gpu, pool, false).is_some());
    }

    #[test]
    fn data_callbacks_secrets_and_arguments_of_any_kind_are_taken() {
        let pool = Address::repeat_byte(5);
        let data = TaskDescription {
            dataset: Address::repeat_byte(9),
            callback: Address::repeat_byte(8),
            ..standard_task()
        };
        assert_eq!(refusal(&data, pool, false), None);
        // Secrets are an enclave's: a standard application starts without them, as in the original.
        for params in [
            r#"{"iexec_input_files":["http://a/b"]}"#,
            r#"{"iexec_secrets":{"1":"a"}}"#,
            r#"{"iexec_developer_logger":true}"#,
            "null",
            "",
            "no JSON at all",
            &"x".repeat(1 << 20),
        ] {
            let task = TaskDescription {
                params: DealParams::parse(params),
                ..standard_task()
            };
            assert_eq!(refusal(&task, pool, false), None);
        }
    }

    #[test]
    fn what_a_standard_task_cannot_have_is_refused_with_the_protocols_cause() {
        let pool = Address::repeat_byte(5);
        let with = |params: &str| TaskDescription {
            params: DealParams::parse(params),
            ..standard_task()
        };
        let rows = [
            (
                TaskDescription {
                    tag: Tag::SCONE,
                    ..standard_task()
                },
                Cause::TeeNotSupported,
            ),
            (
                TaskDescription {
                    tag: Tag::TEE,
                    ..standard_task()
                },
                Cause::TeeNotSupported,
            ),
            (
                TaskDescription {
                    pool: Address::repeat_byte(6),
                    ..standard_task()
                },
                Cause::TaskDescriptionInvalid,
            ),
            (
                with(r#"{"iexec_result_encryption":true}"#),
                Cause::TaskDescriptionInvalid,
            ),
            (with(r#"{"bulk_cid":"Qm"}"#), Cause::TaskDescriptionInvalid),
        ];
        for (description, cause) in rows {
            assert_eq!(
                refusal(&description, pool, false).map(|(cause, _)| cause),
                Some(cause),
                "{description:?}"
            );
        }
    }
}

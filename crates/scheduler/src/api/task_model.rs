//! Records as the bodies that clients read (spec scheduler-api §5.8).

use engine::{ChainFact, DealRecord, ReplicateRecord, TaskFact, TaskRecord};
use poco::units::Timestamp;
use wire::message::{
    ChainReceipt, ReplicateModel, ReplicateStatusUpdateModel, TaskModel, TaskStatusChange,
};
use wire::status::{DappType, TaskStatus};

/// Where this scheduler is, as the caller called it.
pub(super) struct Links {
    /// Scheme, host and port.
    pub(super) base: String,
    /// Logs of tasks whose final deadline lies before this are deleted, or will be presently.
    pub(super) logs_since: Timestamp,
}

impl Links {
    fn replicate(&self, one: &ReplicateRecord) -> String {
        format!(
            "{}/tasks/{}/replicates/{:#x}",
            self.base, one.task, one.worker
        )
    }
}

pub(super) fn task(
    task: &TaskRecord,
    deal: &DealRecord,
    replicates: &[ReplicateRecord],
    links: &Links,
) -> TaskModel {
    let has_list = !matches!(task.status, TaskStatus::Received | TaskStatus::Initializing);
    TaskModel {
        chain_task_id: task.id,
        // The original has no list before the task is initialised.
        replicates: (has_list || !replicates.is_empty()).then(|| {
            replicates
                .iter()
                .map(|one| replicate(task, one, links))
                .collect()
        }),
        max_execution_time: task.max_execution_ms,
        tag: task.tag.0,
        dapp_type: DappType::Docker,
        dapp_name: Some(deal.details.app_image.clone()),
        command_line: deal.details.arguments.clone(),
        initialization_block_number: task.initialization_block().map_or(0, |block| block.0),
        current_status: task.status,
        trust: task.trust,
        uploading_worker_wallet_address: task.uploader.map(|uploader| uploader.worker),
        consensus: task.consensus(),
        contribution_deadline: Some(task.contribution_deadline),
        reveal_deadline: task.reveal_deadline(),
        final_deadline: Some(task.final_deadline),
        result_link: task.result_link.clone(),
        chain_callback_data: task.callback_data.clone(),
        date_status_list: task
            .history
            .iter()
            .map(|step| TaskStatusChange {
                date: Some(step.at),
                status: Some(step.status),
                chain_receipt: receipt(task, step.status),
            })
            .collect(),
    }
}

pub(super) fn replicate(task: &TaskRecord, one: &ReplicateRecord, links: &Links) -> ReplicateModel {
    let own = links.replicate(one);
    ReplicateModel {
        // Only where there are some (Q21).
        app_logs: (one.has_logs && task.final_deadline >= links.logs_since)
            .then(|| format!("{own}/logs")),
        self_link: Some(own),
        chain_task_id: one.task,
        wallet_address: one.worker,
        current_status: one.history.last().map(|step| step.status),
        status_update_list: one
            .history
            .iter()
            .map(|step| ReplicateStatusUpdateModel {
                status: Some(step.status),
                date: Some(step.at),
                cause: step.cause.clone(),
            })
            .collect(),
        result_link: one.result_link.clone(),
        chain_callback_data: one.callback_data.clone(),
        contribution_hash: task.contribution_of(one.worker),
        // Of two the last counts (spec scheduler-api Q20).
        app_exit_code: one.history.iter().rev().find_map(|step| step.exit_code),
        tee_session_generation_error: None,
    }
}

/// Where on the chain a status came from, for those that do.
fn receipt(task: &TaskRecord, status: TaskStatus) -> Option<ChainReceipt> {
    let is_cause = |fact: &&ChainFact| {
        matches!(
            (status, &fact.what),
            (TaskStatus::Initialized, TaskFact::Initialized)
                | (TaskStatus::ConsensusReached, TaskFact::Consensus { .. })
                | (TaskStatus::Finalized, TaskFact::Finalized { .. })
        )
    };
    let fact = task.facts.iter().rev().find(is_cause)?;
    Some(ChainReceipt {
        block_number: fact.block.0,
        tx_hash: Some(fact.tx.to_string()),
    })
}

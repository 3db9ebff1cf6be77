//! What workers usually do, told in one word each. Every step must be answered as the protocol says.

use engine::ReportDetails;
use poco::ids::TaskId;
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{
    self, AppDownloaded, AppDownloading, Completed, Completing, Computed, Computing,
    ContributeAndFinalizeDone, ContributeAndFinalizeOngoing, Contributed, Contributing,
    DataDownloaded, DataDownloading, ResultUploaded, ResultUploading, Revealed, Revealing, Started,
    Starting,
};
use wire::status::TaskNotificationType::{
    self, PleaseCompute, PleaseContinue, PleaseContribute, PleaseDownloadApp, PleaseDownloadData,
    PleaseWait,
};

use super::{Tx, World, hash, seconds, wallet};

/// The way to a result, with the answers on it.
pub(crate) const TO_COMPUTED: [(ReplicateStatus, TaskNotificationType); 8] = [
    (Starting, PleaseContinue),
    (Started, PleaseDownloadApp),
    (AppDownloading, PleaseContinue),
    (AppDownloaded, PleaseDownloadData),
    (DataDownloading, PleaseContinue),
    (DataDownloaded, PleaseCompute),
    (Computing, PleaseContinue),
    (Computed, PleaseContribute),
];

/// A link as result proxies give it.
pub(crate) const LINK: &str = r#"{ "storage": "ipfs", "location": "/ipfs/QmResult" }"#;

/// The one transaction of a worker.
pub(crate) fn alone(task: TaskId, name: &str, result: &str) -> Tx {
    Tx::ContributeAndFinalize(task, wallet(name), hash(result), LINK.as_bytes().into())
}

pub(crate) fn at_block(block: BlockNumber) -> ReportDetails {
    ReportDetails {
        block: Some(block),
        ..ReportDetails::default()
    }
}

pub(crate) fn with_link() -> ReportDetails {
    ReportDetails {
        result_link: Some(LINK.to_owned()),
        ..ReportDetails::default()
    }
}

/// The callback data that stands for a result.
pub(crate) fn callback_of(result: &str) -> String {
    poco::hex::encode(result)
}

pub(crate) fn with_callback(result: &str) -> ReportDetails {
    ReportDetails {
        callback_data: Some(callback_of(result)),
        ..ReportDetails::default()
    }
}

impl World {
    /// Asks, is given the task, and computes it.
    #[track_caller]
    pub(crate) fn computes(&mut self, name: &str, task: TaskId) -> &mut Self {
        self.ask(name).is_given(task);
        self.goes_to(name, task, Computed)
    }

    /// Reports every status up to `last`.
    #[track_caller]
    pub(crate) fn goes_to(&mut self, name: &str, task: TaskId, last: ReplicateStatus) -> &mut Self {
        for (status, action) in TO_COMPUTED {
            if status <= last {
                self.report(name, task, status).is_accepted(action);
            }
        }
        self
    }

    /// Contributes a result on the chain and reports it.
    #[track_caller]
    pub(crate) fn contributes(&mut self, name: &str, task: TaskId, result: &str) -> &mut Self {
        let block = self.sends_contribution(name, task, result);
        let answer = self.report_with(name, task, Contributed, at_block(block));
        answer.is_accepted(PleaseWait)
    }

    /// Contributes on the chain, and says nothing of it.
    #[track_caller]
    pub(crate) fn sends_contribution(
        &mut self,
        name: &str,
        task: TaskId,
        result: &str,
    ) -> BlockNumber {
        self.report(name, task, Contributing)
            .is_accepted(PleaseContinue);
        self.send(Tx::Contribute(task, wallet(name), hash(result)));
        self.now = self.now.saturating_add(seconds(1));
        self.mine()
    }

    /// Uploads, contributes and finalises in one transaction, and says nothing of it.
    #[track_caller]
    pub(crate) fn finalizes_alone(
        &mut self,
        name: &str,
        task: TaskId,
        result: &str,
    ) -> BlockNumber {
        self.report(name, task, ContributeAndFinalizeOngoing)
            .is_accepted(PleaseContinue);
        self.uploaded.insert(task);
        self.send(alone(task, name, result));
        self.now = self.now.saturating_add(seconds(1));
        self.mine()
    }

    /// The whole way of a task that one worker finishes with one transaction.
    #[track_caller]
    pub(crate) fn does_it_alone(&mut self, name: &str, task: TaskId) -> &mut Self {
        self.computes(name, task);
        let block = self.finalizes_alone(name, task, "result");
        let details = ReportDetails {
            block: Some(block),
            ..with_link()
        };
        let ticket = self
            .report_with(name, task, ContributeAndFinalizeDone, details)
            .ticket;
        self.carry_out();
        let answer = self.reply(ticket);
        assert_eq!(answer, Some(&engine::Reply::Accepted(PleaseWait)));
        self.report(name, task, Completing)
            .is_accepted(PleaseContinue);
        self.report(name, task, Completed).is_accepted(PleaseWait)
    }

    /// Reveals on the chain and reports it.
    #[track_caller]
    pub(crate) fn reveals(&mut self, name: &str, task: TaskId) -> &mut Self {
        let block = self.sends_reveal(name, task);
        self.report_with(name, task, Revealed, at_block(block))
            .is_accepted(PleaseWait)
    }

    #[track_caller]
    pub(crate) fn sends_reveal(&mut self, name: &str, task: TaskId) -> BlockNumber {
        self.report(name, task, Revealing)
            .is_accepted(PleaseContinue);
        self.send(Tx::Reveal(task, wallet(name)));
        self.now = self.now.saturating_add(seconds(1));
        self.mine()
    }

    /// Uploads the result and reports it.
    #[track_caller]
    pub(crate) fn uploads(&mut self, name: &str, task: TaskId) -> &mut Self {
        self.report(name, task, ResultUploading)
            .is_accepted(PleaseContinue);
        self.uploaded.insert(task);
        let ticket = self
            .report_with(name, task, ResultUploaded, with_link())
            .ticket;
        self.carry_out();
        assert_eq!(
            self.reply(ticket),
            Some(&engine::Reply::Accepted(PleaseWait))
        );
        self
    }

    /// The whole way of a task that one worker suffices for.
    #[track_caller]
    pub(crate) fn does_it_all(&mut self, name: &str, task: TaskId) -> &mut Self {
        self.computes(name, task)
            .contributes(name, task, "result")
            .reveals(name, task)
            .uploads(name, task)
            .pass(seconds(10));
        self.report(name, task, Completing)
            .is_accepted(PleaseContinue);
        self.report(name, task, Completed).is_accepted(PleaseWait)
    }
}

//! The contract bindings: calls, views, events, reverts.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Panic, Revert, SolCall, SolError, SolEventInterface, SolInterface};
use poco::contracts::{Deal, Hub, Resource, Rlc, Task, Workerpool};
use poco::result_link;
use poco::status::{ChainContributionStatus, ChainTaskStatus};
use serde_json::Value;

use crate::entry::{Entry, Read, blob, number};
use crate::orders::{app_order, dataset_order, request_order, workerpool_order};

pub(crate) fn calldata(entry: &Entry) {
    let inputs = &entry.inputs;
    let word = |index: usize| -> B256 { inputs[index].as_str().unwrap().parse().unwrap() };
    let account = |index: usize| -> Address { inputs[index].as_str().unwrap().parse().unwrap() };
    let amount = |index: usize| U256::from(number(&inputs[index]));
    let link = |member: &str| Bytes::copy_from_slice(inputs.text(member).as_bytes());
    let callback = || Bytes::from(poco::digest::callback_bytes(inputs.text("callbackData")));
    let data = match entry.id.strip_prefix("calldata-").unwrap() {
        "initialize" => Hub::initializeCall {
            dealid: inputs.word("dealId"),
            idx: inputs.amount("index"),
        }
        .abi_encode(),
        "contribute-standard" => Hub::contributeCall {
            taskid: inputs.word("taskId"),
            resultHash: inputs.word("resultHash"),
            resultSeal: inputs.word("resultSeal"),
            enclaveChallenge: inputs.account("enclaveChallenge"),
            enclaveSign: inputs.blob("enclaveSign"),
            authorizationSign: inputs.blob("authorizationSign"),
        }
        .abi_encode(),
        "reveal" => Hub::revealCall {
            taskid: inputs.word("taskId"),
            resultDigest: inputs.word("resultDigest"),
        }
        .abi_encode(),
        "finalize" => Hub::finalizeCall {
            taskid: inputs.word("taskId"),
            results: link("resultLink"),
            resultsCallback: callback(),
        }
        .abi_encode(),
        "contributeAndFinalize" => Hub::contributeAndFinalizeCall {
            taskid: inputs.word("taskId"),
            resultDigest: inputs.word("resultDigest"),
            results: link("resultLink"),
            resultsCallback: callback(),
            enclaveChallenge: inputs.account("enclaveChallenge"),
            enclaveSign: inputs.blob("enclaveSign"),
            authorizationSign: inputs.blob("authorizationSign"),
        }
        .abi_encode(),
        "matchOrders" => {
            let orders = &inputs["orders"];
            Hub::matchOrdersCall {
                apporder: app_order(&orders["app"]),
                datasetorder: dataset_order(&orders["ds"]),
                workerpoolorder: workerpool_order(&orders["wp"]),
                requestorder: request_order(&orders["rq"]),
            }
            .abi_encode()
        }
        "assertDatasetDealCompatibility" => Hub::assertDatasetDealCompatibilityCall {
            datasetorder: dataset_order(&inputs["order"]),
            dealid: inputs.word("dealId"),
        }
        .abi_encode(),
        "reopen" => Hub::reopenCall { taskid: word(0) }.abi_encode(),
        "claim" => Hub::claimCall { taskid: word(0) }.abi_encode(),
        "viewAccount" => Hub::viewAccountCall {
            account: account(0),
        }
        .abi_encode(),
        "viewContribution" => Hub::viewContributionCall {
            taskid: word(0),
            worker: account(1),
        }
        .abi_encode(),
        "approveAndCall-deposit" => Rlc::approveAndCallCall {
            spender: account(0),
            amount: amount(1),
            data: blob(&inputs[2]),
        }
        .abi_encode(),
        "deposit-token" => Hub::depositCall { amount: amount(0) }.abi_encode(),
        "withdraw" => Hub::withdrawCall { amount: amount(0) }.abi_encode(),
        "changePolicy" => Workerpool::changePolicyCall {
            workerStakeRatio: amount(0),
            schedulerRewardRatio: amount(1),
        }
        .abi_encode(),
        other => panic!("{other} is not checked"),
    };
    assert_eq!(poco::hex::encode(data), entry.expected);
}

pub(crate) fn contribute_and_finalize(entry: &Entry) {
    let data = entry.inputs.blob("calldata");
    let call = Hub::contributeAndFinalizeCall::abi_decode(&data).unwrap();
    assert_eq!(call.enclaveChallenge, Address::ZERO);
    assert!(call.enclaveSign.is_empty());
    assert_eq!(call.authorizationSign.len(), 65);
    assert_eq!(call.abi_encode(), data);
    // No topic of the transaction is unknown to the bindings; the last four are the task's whole life at once.
    let topics: Vec<B256> = entry.expected["logTopics0"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| topic.as_str().unwrap().parse().unwrap())
        .collect();
    assert!(
        topics
            .iter()
            .all(|topic| Hub::HubEvents::SELECTORS.contains(&topic.0))
    );
    use alloy_sol_types::SolEvent;
    assert!(topics.ends_with(&[
        Hub::TaskContribute::SIGNATURE_HASH,
        Hub::TaskConsensus::SIGNATURE_HASH,
        Hub::TaskReveal::SIGNATURE_HASH,
        Hub::TaskFinalize::SIGNATURE_HASH,
    ]));
}

pub(crate) fn view(entry: &Entry) {
    let (data, expected) = (entry.inputs.blob("returnData"), &entry.expected);
    match entry.id.strip_prefix("decode-").unwrap() {
        "viewDeal" => is_deal(
            &Hub::viewDealCall::abi_decode_returns(&data).unwrap(),
            expected,
        ),
        "viewTask" => is_task(
            &Hub::viewTaskCall::abi_decode_returns(&data).unwrap(),
            expected,
        ),
        "viewTaskABILegacy" => {
            let task = Hub::viewTaskABILegacyCall::abi_decode_returns(&data).unwrap();
            // The legacy form lacks the digest, the time of the results and the callback.
            let whole = Task {
                status: task.status,
                dealid: task.dealid,
                idx: task.idx,
                timeref: task.timeref,
                contributionDeadline: task.contributionDeadline,
                revealDeadline: task.revealDeadline,
                finalDeadline: task.finalDeadline,
                consensusValue: task.consensusValue,
                revealCounter: task.revealCounter,
                winnerCounter: task.winnerCounter,
                contributors: task.contributors,
                results: task.results,
                ..Task::default()
            };
            is_task(&whole, expected);
        }
        "viewContribution" => {
            let contribution = Hub::viewContributionCall::abi_decode_returns(&data).unwrap();
            assert_eq!(
                contribution.status.try_into(),
                Ok(ChainContributionStatus::Contributed)
            );
            assert_eq!(u64::from(contribution.status), expected.number("status"));
            assert_eq!(contribution.resultHash, expected.word("resultHash"));
            assert_eq!(contribution.resultSeal, expected.word("resultSeal"));
            assert_eq!(
                contribution.enclaveChallenge,
                expected.account("enclaveChallenge")
            );
            assert_eq!(contribution.weight, expected.amount("weight"));
        }
        "viewApp" => {
            let app = Hub::viewAppCall::abi_decode_returns(&data).unwrap();
            assert_eq!(poco::hex::lower(&app.owner), expected[0]);
            assert_eq!(
                (&app.m_appName, &app.m_appType),
                (&text(&expected[1]), &text(&expected[2]))
            );
            assert_eq!(app.m_appMultiaddr, blob(&expected[3]));
            assert_eq!(app.m_appChecksum.as_slice(), blob(&expected[4]).as_ref());
            assert_eq!(app.m_appMREnclave, blob(&expected[5]));
        }
        "viewDataset" => {
            let dataset = Hub::viewDatasetCall::abi_decode_returns(&data).unwrap();
            assert_eq!(poco::hex::lower(&dataset.owner), expected[0]);
            assert_eq!(dataset.m_datasetName, expected[1]);
            assert_eq!(dataset.m_datasetMultiaddr, blob(&expected[2]));
            assert_eq!(
                dataset.m_datasetChecksum.as_slice(),
                blob(&expected[3]).as_ref()
            );
        }
        "viewWorkerpool" => {
            let pool = Hub::viewWorkerpoolCall::abi_decode_returns(&data).unwrap();
            assert_eq!(poco::hex::lower(&pool.owner), expected[0]);
            assert_eq!(pool.m_workerpoolDescription, expected[1]);
            assert_eq!(
                pool.m_workerStakeRatioPolicy,
                U256::from(number(&expected[2]))
            );
            assert_eq!(
                pool.m_schedulerRewardRatioPolicy,
                U256::from(number(&expected[3]))
            );
        }
        "viewCategory" => {
            let category = Hub::viewCategoryCall::abi_decode_returns(&data).unwrap();
            assert_eq!(
                (category.name, category.description),
                (text(&expected[0]), text(&expected[1]))
            );
            assert_eq!(category.workClockTimeRef, U256::from(number(&expected[2])));
        }
        "viewAccount" => {
            let account = Hub::viewAccountCall::abi_decode_returns(&data).unwrap();
            assert_eq!(account.stake, expected.amount("stake"));
            assert_eq!(account.locked, expected.amount("locked"));
        }
        other => panic!("{other} is not checked"),
    }
}

fn is_deal(deal: &Deal, expected: &Value) {
    for (resource, member) in [
        (&deal.app, "app"),
        (&deal.dataset, "dataset"),
        (&deal.workerpool, "workerpool"),
    ] {
        is_resource(resource, &expected[member]);
    }
    assert_eq!(deal.trust, expected.amount("trust"));
    assert_eq!(deal.category, expected.amount("category"));
    assert_eq!(deal.tag, expected.word("tag"));
    assert_eq!(deal.requester, expected.account("requester"));
    assert_eq!(deal.beneficiary, expected.account("beneficiary"));
    assert_eq!(deal.callback, expected.account("callback"));
    assert_eq!(deal.params, expected["params"]);
    assert_eq!(deal.startTime, expected.amount("startTime"));
    assert_eq!(deal.botFirst, expected.amount("botFirst"));
    assert_eq!(deal.botSize, expected.amount("botSize"));
    assert_eq!(deal.workerStake, expected.amount("workerStake"));
    assert_eq!(
        deal.schedulerRewardRatio,
        expected.amount("schedulerRewardRatio")
    );
    assert_eq!(deal.sponsor, expected.account("sponsor"));
}

fn is_resource(resource: &Resource, expected: &Value) {
    let account = |index: usize| -> Address { expected[index].as_str().unwrap().parse().unwrap() };
    assert_eq!(resource.pointer, account(0));
    assert_eq!(resource.owner, account(1));
    assert_eq!(resource.price, U256::from(number(&expected[2])));
}

fn is_task(task: &Task, expected: &Value) {
    assert_eq!(u64::from(task.status), expected.number("status"));
    assert!(ChainTaskStatus::try_from(task.status).is_ok());
    assert_eq!(task.dealid, expected.word("dealid"));
    assert_eq!(task.idx, expected.amount("idx"));
    assert_eq!(task.timeref, expected.amount("timeref"));
    assert_eq!(
        task.contributionDeadline,
        expected.amount("contributionDeadline")
    );
    assert_eq!(task.revealDeadline, expected.amount("revealDeadline"));
    assert_eq!(task.finalDeadline, expected.amount("finalDeadline"));
    assert_eq!(task.consensusValue, expected.word("consensusValue"));
    assert_eq!(task.revealCounter, expected.amount("revealCounter"));
    assert_eq!(task.winnerCounter, expected.amount("winnerCounter"));
    let contributors: Vec<String> = task.contributors.iter().map(poco::hex::lower).collect();
    assert_eq!(Value::from(contributors), expected["contributors"]);
    if expected.get("resultDigest").is_some() {
        assert_eq!(task.resultDigest, expected.word("resultDigest"));
        assert_eq!(task.resultsTimestamp, expected.amount("resultsTimestamp"));
        assert_eq!(task.resultsCallback, expected.blob("resultsCallback"));
        let written = std::str::from_utf8(&task.results).unwrap();
        assert_eq!(written, expected.text("results"));
        // What was written is what we would write.
        let link = result_link::parse(written).unwrap();
        assert_eq!(
            result_link::ipfs(link.location.strip_prefix("/ipfs/").unwrap()),
            written
        );
    } else {
        assert_eq!(task.results, expected.blob("results"));
    }
}

pub(crate) fn event(entry: &Entry) {
    let topics: Vec<B256> = entry.expected["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| topic.as_str().unwrap().parse().unwrap())
        .collect();
    let data = entry.expected.blob("data");
    let event = Hub::HubEvents::decode_raw_log(&topics, &data).unwrap();
    let name = entry.id.strip_prefix("event-").unwrap();
    let shown = format!("{event:?}");
    assert_eq!(shown.split('(').next().unwrap(), name);
    // Nothing was lost: the event encodes to the same log.
    let again = alloy_primitives::IntoLogData::into_log_data(event);
    assert_eq!(again.topics(), topics);
    assert_eq!(again.data, data);
}

pub(crate) fn revert(entry: &Entry) {
    if entry.expected["reverts"] == false {
        assert!(entry.id.starts_with("call-ok-"));
        assert!(entry.expected.get("data").is_none());
        return;
    }
    let data = entry.expected.blob("data");
    let decoded = if data.is_empty() {
        None
    } else if let Ok(Revert { reason }) = Revert::abi_decode(&data) {
        Some(reason)
    } else if let Ok(Panic { code }) = Panic::abi_decode(&data) {
        Some(format!("Panic({code})"))
    } else {
        match Hub::HubErrors::abi_decode(&data).unwrap() {
            Hub::HubErrors::IncompatibleDatasetOrder(error) => {
                Some(format!("IncompatibleDatasetOrder({})", error.reason))
            }
            other => panic!("{other:?} is no revert of this list"),
        }
    };
    assert_eq!(Value::from(decoded), entry.expected["decoded"]);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

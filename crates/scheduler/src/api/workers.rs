//! `/workers/…`: joining the pool and showing that one lives (spec scheduler-api §3.1 to §3.6).

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chassis::extract::{Json, Query};
use chassis::origin::Caller;
use engine::{Input, Reply, WorkerProfile, WorkerRecord};
use poco::ids::TaskId;
use poco::units::Timestamp;
use serde::Deserialize;
use wire::message::{RegisteredWorker, Signature, WorkerModel};

use super::generation::Generation;
use super::{Api, ApiError, Worker, address, features, granting, text};
use crate::auth::Login;
use crate::clock::now;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/workers/challenge", get(challenge))
        .route("/workers/login", post(login))
        .route("/workers/ping", post(ping))
        .route("/workers/register", post(register))
        .route("/workers/config", get(config))
        .route("/workers/computing", get(computing))
}

/// Characters of a machine's name, system or processor that are kept.
const LONGEST_TEXT: usize = 255;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wallet {
    pub(super) wallet_address: String,
}

/// 200 with the text to sign, 401 for a wallet that may not join.
async fn challenge(
    State(api): State<Arc<Api>>,
    Caller(caller): Caller,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<Wallet>,
) -> Result<Response, ApiError> {
    let wallet = address(&query.wallet_address, &uri)?;
    Ok(match api.auth.worker_challenge(wallet).await? {
        Some(challenge) => text(&headers, challenge),
        None => {
            api.auth.pace.refuse(caller).await;
            StatusCode::UNAUTHORIZED.into_response()
        }
    })
}

/// 200 with a token, 401 for anything that is not the wallet's signature over its challenge (spec scheduler-api Q7).
async fn login(
    State(api): State<Arc<Api>>,
    Caller(caller): Caller,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<Wallet>,
    Json(signature): Json<Option<Signature>>,
) -> Result<Response, ApiError> {
    let wallet = address(&query.wallet_address, &uri)?;
    let signature = signature.unwrap_or_default().value;
    match api.auth.login(wallet, &signature).await? {
        Login::Token(token) => {
            tracing::info!(worker = %wallet, "a worker logged in");
            api.inbox.tell(Input::LoggedIn { worker: wallet }).await?;
            Ok(text(&headers, token))
        }
        Login::Refused => {
            tracing::info!(worker = %wallet, %caller, "a login is refused");
            api.auth.pace.refuse(caller).await;
            Ok(StatusCode::UNAUTHORIZED.into_response())
        }
    }
}

/// 200 with the hash of the public configuration.
async fn ping(
    State(api): State<Arc<Api>>,
    Worker(worker): Worker,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    api.inbox.tell(Input::Pinged { worker }).await?;
    Ok(text(&headers, api.configuration_hash.clone()))
}

/// 200 with the worker as it is stored.
async fn register(
    State(api): State<Arc<Api>>,
    Worker(worker): Worker,
    headers: HeaderMap,
    Json(model): Json<WorkerModel>,
) -> Result<Response, ApiError> {
    let features = features(&api, &headers);
    let profile = WorkerProfile {
        name: model.name.as_deref().map(cut),
        os: model.os.as_deref().map(cut),
        cpu: model.cpu.as_deref().map(cut),
        cpu_nb: model.cpu_nb.into(),
        memory_gb: model.memory_size.into(),
        gpu: model.gpu_enabled,
        sgx: model.tee_enabled,
        tdx: model.tdx_enabled,
        caf: features.caf,
    };
    let reply = api
        .inbox
        .ask(move |ticket| Input::Registered {
            ticket,
            worker,
            profile,
        })
        .await?;
    let record = match reply {
        Reply::Registered(record) => record,
        Reply::WalletInUse { by, seen } => return Ok(wallet_in_use(worker, &by, seen)),
        _ => return Err(ApiError::Empty(StatusCode::UNAUTHORIZED)),
    };
    let (participating, computing) = api
        .inbox
        .look(move |engine| engine.tasks_of(worker))
        .await?;
    let body = axum::Json(registered(&record, participating, computing)).into_response();
    Ok(granting(features, body))
}

/// 409 for the second of two workers with one wallet. It is taken once the first one has fallen silent.
fn wallet_in_use(worker: Address, by: &str, seen: Timestamp) -> Response {
    let ago = now().since(seen).as_secs();
    let wallet = poco::hex::lower(&worker);
    tracing::warn!(
        worker = wallet,
        name = by,
        "a second worker with this wallet is not registered"
    );
    let text = format!(
        "the wallet {wallet} is in use: a worker called {by:?} registered with it and was heard of {ago} s ago; give every worker a wallet of \
         its own, or wait a minute if that one has ended"
    );
    (StatusCode::CONFLICT, text).into_response()
}

/// What a worker says about itself, short enough to be kept and shown.
fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

async fn config(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, ApiError> {
    Generation::of(&headers).json(&api.configuration)
}

/// 200 with the tasks that hold a slot of the worker.
async fn computing(
    State(api): State<Arc<Api>>,
    Worker(worker): Worker,
) -> Result<Response, ApiError> {
    let reply = api
        .inbox
        .ask(move |ticket| Input::Computing { ticket, worker })
        .await?;
    let tasks = match reply {
        Reply::Computing(tasks) => tasks,
        _ => Vec::new(),
    };
    Ok(axum::Json(tasks).into_response())
}

fn registered(
    record: &WorkerRecord,
    participating: Vec<TaskId>,
    computing: Vec<TaskId>,
) -> RegisteredWorker {
    let profile = &record.profile;
    let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    RegisteredWorker {
        id: document_id(record.worker),
        name: profile.name.clone(),
        wallet_address: record.worker,
        os: profile.os.clone(),
        cpu: profile.cpu.clone(),
        cpu_nb: small(profile.cpu_nb),
        max_nb_tasks: small(profile.slots().into()),
        memory_size: small(profile.memory_gb),
        gpu_enabled: profile.gpu,
        tee_enabled: profile.sgx,
        tdx_enabled: profile.tdx,
        participating_chain_task_ids: participating,
        computing_chain_task_ids: computing,
        last_alive_date: None,
        last_replicate_demand_date: None,
        excluded_tags: excluded_tags(profile),
    }
}

/// 24 hex digits, as the original's database makes them; here the same for a wallet for ever.
fn document_id(worker: Address) -> String {
    poco::hex::lower(&worker).chars().skip(2).take(24).collect()
}

/// Tags of tasks that the worker is not given (spec scheduler-api §3.7).
fn excluded_tags(profile: &WorkerProfile) -> Vec<B256> {
    const SCONE: u8 = 0b0011;
    const GRAMINE: u8 = 0b0101;
    const TDX: u8 = 0b1001;
    let excluded: &[u8] = match (profile.sgx, profile.tdx) {
        (false, false) => &[TDX, SCONE, GRAMINE],
        (false, true) => &[SCONE, GRAMINE],
        (true, false) => &[TDX],
        (true, true) => &[],
    };
    excluded
        .iter()
        .map(|bits| B256::with_last_byte(*bits))
        .collect()
}

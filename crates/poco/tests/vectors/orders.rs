//! EIP-712: domains, orders, challenges.

use std::borrow::Cow;
use std::fmt::Debug;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::Eip712Domain;
use poco::challenge::{Challenge, Domain, Token};
use poco::contracts::{AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder};
use poco::orders::{Operation, Order};
use poco::signing::{self, Sig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::entry::{Entry, Read};
use crate::hashes::hash_text;

pub(crate) fn domain(entry: &Entry) {
    let inputs = &entry.inputs;
    let (name, version, chain_id) = (
        inputs.text("name"),
        inputs.text("version"),
        inputs.number("chainId"),
    );
    let contract = inputs
        .get("verifyingContract")
        .map(|_| inputs.account("verifyingContract"));
    let separator = match (name, contract) {
        ("iExecODB", Some(hub)) => {
            let domain = poco::orders::domain(chain_id, hub);
            assert_eq!(domain.version.as_deref(), Some(version));
            domain.separator()
        }
        (_, None) => challenge_of(inputs, "").domain_separator(),
        // No domain of ours has another name and a contract: this entry fixes how the library encodes one.
        (_, Some(contract)) => Eip712Domain {
            name: Some(Cow::Owned(name.to_owned())),
            version: Some(Cow::Owned(version.to_owned())),
            verifying_contract: Some(contract),
            ..poco::orders::domain(chain_id, contract)
        }
        .separator(),
    };
    assert_eq!(hash_text(separator), entry.expected);
}

/// The type hash shows in the hash of a struct whose members are all zero.
pub(crate) fn type_hash(entry: &Entry) {
    let type_hash: B256 = entry.expected.as_str().unwrap().parse().unwrap();
    assert_eq!(keccak256(entry.inputs.as_str().unwrap()), type_hash);
    let domain = poco::orders::domain(1, address!("00000000000000000000000000000000000000aa"));
    let zero_app_order = hash_of(type_hash, &[B256::ZERO; 8]);
    match entry.id.strip_prefix("typehash-").unwrap() {
        "AppOrder" => assert_eq!(AppOrder::default().struct_hash(), zero_app_order),
        "DatasetOrder" => {
            assert_eq!(
                DatasetOrder::default().struct_hash(),
                hash_of(type_hash, &[B256::ZERO; 8])
            );
        }
        "WorkerpoolOrder" => {
            assert_eq!(
                WorkerpoolOrder::default().struct_hash(),
                hash_of(type_hash, &[B256::ZERO; 10])
            );
        }
        "RequestOrder" => {
            let mut members = [B256::ZERO; 15];
            members[13] = keccak256("");
            assert_eq!(
                RequestOrder::default().struct_hash(),
                hash_of(type_hash, &members)
            );
        }
        "AppOrderOperation" => is_operation_of(&AppOrder::default(), type_hash, &domain),
        "DatasetOrderOperation" => is_operation_of(&DatasetOrder::default(), type_hash, &domain),
        "WorkerpoolOrderOperation" => {
            is_operation_of(&WorkerpoolOrder::default(), type_hash, &domain)
        }
        "RequestOrderOperation" => is_operation_of(&RequestOrder::default(), type_hash, &domain),
        "EIP712Domain" => {
            let members = [
                keccak256("iExecODB"),
                keccak256("5.0.0"),
                B256::from(U256::ONE),
                domain.verifying_contract.unwrap().into_word(),
            ];
            assert_eq!(domain.separator(), hash_of(type_hash, &members));
        }
        "Challenge" => {
            let challenge = Challenge::of_scheduler(1, "text");
            assert_eq!(
                challenge.struct_hash(),
                hash_of(type_hash, &[keccak256("text")])
            );
        }
        other => panic!("{other} is no type of ours"),
    }
}

fn is_operation_of(order: &impl Order, type_hash: B256, domain: &Eip712Domain) {
    for (operation, number) in [(Operation::Sign, 0), (Operation::Close, 1)] {
        let members = [order.struct_hash(), B256::from(U256::from(number))];
        let digest = keccak256(
            [
                &[0x19, 0x01],
                domain.separator().as_slice(),
                hash_of(type_hash, &members).as_slice(),
            ]
            .concat(),
        );
        assert_eq!(order.operation_hash(operation, domain), digest);
    }
}

fn hash_of(type_hash: B256, members: &[B256]) -> B256 {
    keccak256([type_hash.as_slice(), members.concat().as_slice()].concat())
}

pub(crate) fn order(entry: &Entry) {
    let order = read(entry.inputs.text("type"), &entry.inputs["order"]);
    let domain = poco::orders::domain(
        entry.inputs.number("chainId"),
        entry.inputs.account("verifyingContract"),
    );
    let hash = order.order_hash(&domain);
    assert_eq!(order.struct_hash(), entry.expected.word("structHash"));
    assert_eq!(hash, entry.expected.word("orderHash"));
    // The SDK published hashes without the key.
    if !entry.id.starts_with("order-sdk-") {
        let owner = entry.inputs.key("privateKey");
        let sign = signing::sign_raw(&owner, hash).unwrap();
        assert_eq!(sign.to_string(), entry.expected.text("sign"));
        assert_eq!(
            signing::contracts_accept(hash, &sign.0, owner.address()),
            Ok(true)
        );
        if let Some(compact) = entry.expected.get("compactSignEip2098") {
            let bytes = sign.compact().unwrap();
            assert_eq!(poco::hex::encode(bytes), *compact);
            assert_eq!(
                signing::contracts_accept(hash, &bytes, owner.address()),
                Ok(true)
            );
        }
    }
}

pub(crate) fn operation(entry: &Entry) {
    assert_eq!(entry.inputs.text("type"), "WorkerpoolOrderOperation");
    assert_eq!(entry.inputs.number("operation"), Operation::Close as u64);
    let order = read("WorkerpoolOrder", &entry.inputs["order"]);
    let domain = poco::orders::domain(
        entry.inputs.number("chainId"),
        entry.inputs.account("verifyingContract"),
    );
    let hash = order.operation_hash(Operation::Close, &domain);
    // The entry calls it `orderHash`, but what was signed, and so what it holds, is the hash of the operation.
    assert_eq!(hash, entry.expected.word("orderHash"));
    assert_ne!(hash, order.order_hash(&domain));
    let sign = signing::sign_raw(&entry.inputs.key("privateKey"), hash).unwrap();
    assert_eq!(sign.to_string(), entry.expected.text("sign"));
}

pub(crate) fn challenge(entry: &Entry) {
    let challenge = challenge_of(&entry.inputs["domain"], entry.inputs.text("challenge"));
    let expected = &entry.expected;
    if expected.get("domainSeparator").is_some() {
        assert_eq!(
            challenge.domain_separator(),
            expected.word("domainSeparator")
        );
    }
    if expected.get("structHash").is_some() {
        assert_eq!(challenge.struct_hash(), expected.word("structHash"));
    }
    if expected.get("hash").is_some() {
        assert_eq!(challenge.digest(), expected.word("hash"));
    }
    // A client that signs what it was sent signs the same thing.
    let sent = serde_json::to_string(&challenge.typed_data()).unwrap();
    let received: Challenge = serde_json::from_str::<poco::challenge::TypedData>(&sent)
        .unwrap()
        .into();
    assert_eq!(received, challenge);

    match entry.id.as_str() {
        "challenge-712-repo" => {}
        "challenge-712-token-repo" | "challenge-712-core" | "challenge-712-market" => {
            let key = entry.inputs.key("privateKey");
            let signature: Sig = signing::sign_raw(&key, challenge.digest()).unwrap();
            let made = Token::new(&challenge, &signature, key.address()).to_string();
            let token = expected.text("token");
            assert!(made.eq_ignore_ascii_case(token), "{made} is not {token}");
            let token: Token = token.parse().unwrap();
            assert!(token.is_for(key.address()));
            assert!(token.signs(&challenge));
            let another = challenge_of(&entry.inputs["domain"], "another text");
            assert!(!token.signs(&another));
        }
        other => panic!("{other} is not checked"),
    }
}

fn challenge_of(domain: &Value, text: &str) -> Challenge {
    Challenge {
        domain: Domain {
            name: domain.text("name").to_owned(),
            version: domain.text("version").to_owned(),
            chain_id: domain.number("chainId"),
        },
        text: text.to_owned(),
    }
}

fn read(kind: &str, order: &Value) -> Box<dyn Order> {
    match kind {
        "AppOrder" => Box::new(as_json(app_order(order), order)),
        "DatasetOrder" => Box::new(as_json(dataset_order(order), order)),
        "WorkerpoolOrder" => Box::new(as_json(workerpool_order(order), order)),
        "RequestOrder" => Box::new(as_json(request_order(order), order)),
        other => panic!("{other} is no order"),
    }
}

/// The order, once it is sure that its JSON is read as it and that it survives being sent.
fn as_json<T: Order + DeserializeOwned + Serialize + PartialEq + Debug>(
    order: T,
    json: &Value,
) -> T {
    assert_eq!(serde_json::from_value::<T>(json.clone()).unwrap(), order);
    let sent = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<T>(&sent).unwrap(), order);
    order
}

/// The signature that comes with an order, where one does.
fn sign(order: &Value) -> Bytes {
    order
        .get("sign")
        .map(|_| order.blob("sign"))
        .unwrap_or_default()
}

pub(crate) fn app_order(order: &Value) -> AppOrder {
    AppOrder {
        app: order.account("app"),
        appprice: order.amount("appprice"),
        volume: order.amount("volume"),
        tag: order.word("tag"),
        datasetrestrict: order.account("datasetrestrict"),
        workerpoolrestrict: order.account("workerpoolrestrict"),
        requesterrestrict: order.account("requesterrestrict"),
        salt: order.word("salt"),
        sign: sign(order),
    }
}

pub(crate) fn dataset_order(order: &Value) -> DatasetOrder {
    DatasetOrder {
        dataset: order.account("dataset"),
        datasetprice: order.amount("datasetprice"),
        volume: order.amount("volume"),
        tag: order.word("tag"),
        apprestrict: order.account("apprestrict"),
        workerpoolrestrict: order.account("workerpoolrestrict"),
        requesterrestrict: order.account("requesterrestrict"),
        salt: order.word("salt"),
        sign: sign(order),
    }
}

pub(crate) fn workerpool_order(order: &Value) -> WorkerpoolOrder {
    WorkerpoolOrder {
        workerpool: order.account("workerpool"),
        workerpoolprice: order.amount("workerpoolprice"),
        volume: order.amount("volume"),
        tag: order.word("tag"),
        category: order.amount("category"),
        trust: order.amount("trust"),
        apprestrict: order.account("apprestrict"),
        datasetrestrict: order.account("datasetrestrict"),
        requesterrestrict: order.account("requesterrestrict"),
        salt: order.word("salt"),
        sign: sign(order),
    }
}

pub(crate) fn request_order(order: &Value) -> RequestOrder {
    let account = |member: &str| -> Address { order.account(member) };
    RequestOrder {
        app: account("app"),
        appmaxprice: order.amount("appmaxprice"),
        dataset: account("dataset"),
        datasetmaxprice: order.amount("datasetmaxprice"),
        workerpool: account("workerpool"),
        workerpoolmaxprice: order.amount("workerpoolmaxprice"),
        requester: account("requester"),
        volume: order.amount("volume"),
        tag: order.word("tag"),
        category: order.amount("category"),
        trust: order.amount("trust"),
        beneficiary: account("beneficiary"),
        callback: account("callback"),
        params: order.text("params").to_owned(),
        salt: order.word("salt"),
        sign: sign(order),
    }
}

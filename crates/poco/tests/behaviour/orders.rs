//! Orders: signed, recovered, closed, and sent as JSON.

use alloy_primitives::{Address, B256, Bytes, U256, address, b256};
use alloy_sol_types::{Eip712Domain, SolCall, SolValue};
use poco::contracts::{AppOrder, DatasetOrder, Hub, RequestOrder, WorkerpoolOrder};
use poco::orders::{Operation, Order, domain};
use poco::signing::{self, BadLength};
use serde_json::{Value, json};

use crate::signatures::{high_s, key, with_v};

const POOL: Address = address!("F56A46DF9F855A85ACCAdB9c72c1E3b35Fc65df8");
const SALT: B256 = b256!("f16c617010394368b7e7a20f526aded5c2629899438e557f9199ce91fb2641a1");

fn of_hub() -> Eip712Domain {
    domain(65535, address!("5FC8d32690cc91D4c39d9d3abcBD16989F875707"))
}

fn order() -> WorkerpoolOrder {
    WorkerpoolOrder {
        workerpool: POOL,
        workerpoolprice: U256::from(2_000),
        volume: U256::from(10),
        category: U256::from(3),
        trust: U256::from(5),
        salt: SALT,
        ..WorkerpoolOrder::default()
    }
}

fn signed() -> WorkerpoolOrder {
    let mut order = order();
    order.sign(&key(), &of_hub()).unwrap();
    order
}

#[test]
fn a_signed_order_is_its_owners_and_nobody_elses() {
    let order = signed();
    let owner = key().address();
    assert_eq!(order.signer(&of_hub()), Ok(Some(owner)));
    assert_eq!(order.is_signed_by(owner, &of_hub()), Ok(true));
    assert_eq!(order.is_signed_by(POOL, &of_hub()), Ok(false));
    // Another price, another hub and another chain are other orders.
    let dearer = WorkerpoolOrder {
        workerpoolprice: U256::from(2_001),
        ..order.clone()
    };
    assert_ne!(dearer.signer(&of_hub()), Ok(Some(owner)));
    assert_ne!(order.signer(&domain(65535, POOL)), Ok(Some(owner)));
    let hub = of_hub().verifying_contract.unwrap();
    assert_ne!(order.signer(&domain(134, hub)), Ok(Some(owner)));
}

#[test]
fn the_signature_is_no_part_of_what_is_signed() {
    assert_eq!(
        signed().order_hash(&of_hub()),
        order().order_hash(&of_hub())
    );
    assert_ne!(signed().abi_encode(), order().abi_encode());
}

#[test]
fn an_order_without_a_signature_makes_the_match_revert_unless_it_is_presigned() {
    // onchain A5: invalid-signature-format, not 0x41.
    assert_eq!(order().signer(&of_hub()), Err(BadLength { length: 0 }));
    assert_eq!(
        order().is_signed_by(POOL, &of_hub()),
        Err(BadLength { length: 0 })
    );
}

#[test]
fn what_the_contracts_refuse_and_others_take_is_mended_before_it_is_sent() {
    // onchain B1.4.
    let (good, owner) = (signed(), key().address());
    let signature = signing::Sig::try_from(good.sign.as_ref()).unwrap();
    for bad in [high_s(&signature), with_v(&signature, signature.v() - 27)] {
        let mut order = good.clone();
        order.set_signature(Bytes::copy_from_slice(&bad.0));
        assert_eq!(order.is_signed_by(owner, &of_hub()), Ok(false));
        order.mend_signature();
        assert_eq!(order, good);
    }
    // The compact form is taken as it is, and what is no signature stays none.
    for left in [
        signature.compact().unwrap().to_vec(),
        Vec::new(),
        vec![7; 65],
        vec![1; 12],
    ] {
        let mut order = good.clone();
        order.set_signature(left.clone().into());
        order.mend_signature();
        assert_eq!(order.signature().as_ref(), left);
    }
    let mut compact = good.clone();
    compact.set_signature(signature.compact().unwrap().into());
    assert_eq!(compact.signer(&of_hub()), Ok(Some(owner)));
}

#[test]
fn a_malformed_signature_makes_an_order_of_nobody() {
    // onchain A5: so a request of requester zero passes its signature check.
    let mut request = RequestOrder::default();
    request.set_signature(vec![7; 65].into());
    assert_eq!(request.signer(&of_hub()), Ok(None));
    assert_eq!(request.is_signed_by(Address::ZERO, &of_hub()), Ok(true));
}

#[test]
fn an_operation_carries_the_order_whole_and_its_own_signature() {
    // onchain A7, B3: the ABI's operation is a byte, the hashed one a word.
    let (order, owner) = (signed(), key());
    for (operation, number) in [(Operation::Sign, 0), (Operation::Close, 1)] {
        let signature = order.sign_operation(operation, &owner, &of_hub()).unwrap();
        assert_eq!(
            signing::contracts_accept(
                order.operation_hash(operation, &of_hub()),
                &signature.0,
                owner.address()
            ),
            Ok(true)
        );
        assert_ne!(Bytes::copy_from_slice(&signature.0), order.sign);
        let call = order.operation_call(operation, Bytes::copy_from_slice(&signature.0));
        let read = Hub::manageWorkerpoolOrderCall::abi_decode(&call)
            .unwrap()
            .operation;
        assert_eq!((read.order, read.operation), (order.clone(), number));
        assert_eq!(read.sign.as_ref(), signature.0);
    }
    assert_ne!(
        order.operation_hash(Operation::Sign, &of_hub()),
        order.operation_hash(Operation::Close, &of_hub())
    );
}

#[test]
fn each_kind_is_managed_by_its_own_function() {
    let selector = |call: Bytes| -> [u8; 4] { call[..4].try_into().unwrap() };
    let close = |order: &dyn Order| selector(order.operation_call(Operation::Close, Bytes::new()));
    assert_eq!(close(&AppOrder::default()), [0xb2, 0xb0, 0x7e, 0x66]);
    assert_eq!(close(&DatasetOrder::default()), [0x4b, 0x74, 0x71, 0x06]);
    assert_eq!(close(&WorkerpoolOrder::default()), [0x7e, 0x34, 0xa0, 0x77]);
    assert_eq!(close(&RequestOrder::default()), [0x8d, 0xd9, 0x71, 0xd5]);
}

fn as_the_sdk_writes_it() -> Value {
    json!({
        "workerpool": "0xF56A46DF9F855A85ACCAdB9c72c1E3b35Fc65df8",
        "workerpoolprice": "2000",
        "volume": "10",
        "tag": "0x0000000000000000000000000000000000000000000000000000000000000000",
        "category": "3",
        "trust": "5",
        "apprestrict": "0x0000000000000000000000000000000000000000",
        "datasetrestrict": "0x0000000000000000000000000000000000000000",
        "requesterrestrict": "0x0000000000000000000000000000000000000000",
        "salt": "0xf16c617010394368b7e7a20f526aded5c2629899438e557f9199ce91fb2641a1",
        "sign": signed().sign.to_string(),
    })
}

#[test]
fn an_order_is_written_as_the_sdk_writes_it() {
    assert_eq!(
        serde_json::to_value(signed()).unwrap(),
        as_the_sdk_writes_it()
    );
}

#[test]
fn an_order_is_read_as_the_sdk_java_and_the_market_write_it() {
    let read = |json: Value| serde_json::from_value::<WorkerpoolOrder>(json);
    assert_eq!(read(as_the_sdk_writes_it()).unwrap(), signed());
    // Java lowers addresses; the market makes numbers of amounts; both may send more members than these.
    let mut other = as_the_sdk_writes_it();
    other["workerpool"] = json!("0xf56a46df9f855a85accadb9c72c1e3b35fc65df8");
    for (member, number) in [
        ("workerpoolprice", 2000),
        ("volume", 10),
        ("category", 3),
        ("trust", 5),
    ] {
        other[member] = json!(number);
    }
    other["remaining"] = json!(4);
    assert_eq!(read(other.clone()).unwrap(), signed());
    // Not signed yet.
    other.as_object_mut().unwrap().remove("sign");
    assert_eq!(read(other).unwrap(), order());
}

#[test]
fn the_largest_amount_survives_and_a_larger_one_is_refused() {
    let largest = U256::MAX.to_string();
    let mut json = as_the_sdk_writes_it();
    json["volume"] = json!(largest);
    let order: WorkerpoolOrder = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(order.volume, U256::MAX);
    assert_eq!(
        serde_json::to_value(&order).unwrap()["volume"],
        json!(largest)
    );
    json["volume"] = json!(format!("{largest}0"));
    assert!(serde_json::from_value::<WorkerpoolOrder>(json).is_err());
}

#[test]
fn a_member_that_is_not_what_it_must_be_is_refused_with_what_it_is() {
    for (member, wrong) in [
        ("workerpoolprice", json!(-1)),
        ("workerpoolprice", json!(1.5)),
        ("workerpoolprice", json!("")),
        ("workerpoolprice", json!("0x10")),
        ("workerpoolprice", json!("1e3")),
        ("workerpoolprice", json!("+1")),
        ("workerpoolprice", json!("1_000")),
        ("workerpoolprice", json!(null)),
        ("workerpool", json!("0x12")),
        ("workerpool", json!("pool.eth")),
        ("tag", json!("tee")),
        ("salt", json!("0x00")),
        ("sign", json!("0x0")),
        ("sign", json!("signed")),
    ] {
        let mut json = as_the_sdk_writes_it();
        json[member] = wrong.clone();
        let said = serde_json::from_value::<WorkerpoolOrder>(json)
            .unwrap_err()
            .to_string();
        let shown = wrong
            .as_str()
            .map_or_else(|| wrong.to_string(), str::to_owned);
        assert!(
            said.contains(&shown) || said.contains("bytes"),
            "{member} {wrong}: {said}"
        );
    }
    for member in ["workerpool", "workerpoolprice", "category", "salt"] {
        let mut json = as_the_sdk_writes_it();
        json.as_object_mut().unwrap().remove(member);
        let said = serde_json::from_value::<WorkerpoolOrder>(json)
            .unwrap_err()
            .to_string();
        assert!(said.contains(member), "{said}");
    }
}

//! Hex, ids, units, statuses, tags, links: what is read and what is written.

use std::time::Duration;

use alloy_primitives::{Address, address, b256};
use poco::digest;
use poco::hex::HexError;
use poco::ids::{DealId, TaskId};
use poco::result_link::{self, ResultLink};
use poco::status::{ChainContributionStatus, ChainTaskStatus, Unknown};
use poco::tag::{Tag, TeeFramework};
use poco::units::{BlockNumber, Timestamp, Wei};
use poco::{assets, lax_hex};
use proptest::prelude::*;

const WORKER: Address = address!("748e091bf16048cb5103E0E10F9D5a8b7fBDd860");

#[test]
fn an_address_is_written_in_lower_case_and_read_in_any() {
    let lower = "0x748e091bf16048cb5103e0e10f9d5a8b7fbdd860";
    assert_eq!(poco::hex::lower(&WORKER), lower);
    assert_eq!(poco::hex::address(lower), Ok(WORKER));
    assert_eq!(poco::hex::address(&WORKER.to_string()), Ok(WORKER));
    // Upper case is a wrong checksum; peers take it all the same.
    assert_eq!(poco::hex::address(&lower[2..].to_uppercase()), Ok(WORKER));
    // No other prefix is: the lax decoder would make other bytes of it.
    for prefix in ["0X", "0x0x", "x"] {
        assert!(poco::hex::address(&format!("{prefix}{}", &lower[2..])).is_err());
    }
}

#[test]
fn an_address_that_is_none_says_why() {
    assert_eq!(
        poco::hex::address("0x12"),
        Err(HexError::Length {
            what: "an address",
            expected: 20,
            got: 1
        })
    );
    let error = poco::hex::address("0xnothex").unwrap_err();
    assert_eq!(
        error.to_string(),
        "an address must be hex digits after 0x, two a byte, not \"0xnothex\""
    );
    // What came from outside is not repeated at any length.
    assert!(
        poco::hex::address(&"é".repeat(100_000))
            .unwrap_err()
            .to_string()
            .len()
            < 300
    );
}

#[test]
fn addresses_in_json_are_lower_case() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Shape {
        #[serde(with = "poco::hex::lower_address")]
        one: Address,
        #[serde(with = "poco::hex::lower_address_opt")]
        none: Option<Address>,
        #[serde(with = "poco::hex::lower_addresses")]
        many: Vec<Address>,
    }
    let shape = Shape {
        one: WORKER,
        none: None,
        many: vec![WORKER],
    };
    let json = serde_json::to_string(&shape).unwrap();
    let lower = "0x748e091bf16048cb5103e0e10f9d5a8b7fbdd860";
    assert_eq!(
        json,
        format!(r#"{{"one":"{lower}","none":null,"many":["{lower}"]}}"#)
    );
    let checksummed = json.replace(lower, &WORKER.to_string());
    assert_ne!(json, checksummed);
    assert_eq!(serde_json::from_str::<Shape>(&checksummed).unwrap(), shape);
}

#[test]
fn an_id_is_32_bytes_of_lower_case_hex_in_text_and_json() {
    let text = "0xe06c86d6bb750dbd9be9e002482854b3b3f21550dbe37236767b9cac29e3ce28";
    let task: TaskId = text.to_uppercase().replace("0X", "0x").parse().unwrap();
    assert_eq!(task.to_string(), text);
    assert_eq!(format!("{task:?}"), format!("TaskId({text})"));
    let json = serde_json::to_string(&task).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<TaskId>(&json).unwrap(), task);
    // As keys of maps too, and from text that cannot be borrowed.
    let map = std::collections::BTreeMap::from([(task, 1)]);
    let json = serde_json::to_string(&map).unwrap();
    assert_eq!(
        serde_json::from_str::<std::collections::BTreeMap<TaskId, u8>>(&json).unwrap(),
        map
    );
    assert_eq!(serde_json::from_value::<TaskId>(text.into()).unwrap(), task);
}

#[test]
fn an_id_of_another_length_is_refused() {
    let error = "0x1234".parse::<DealId>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a deal id must be 32 bytes of hex, not 2 bytes"
    );
    assert!(serde_json::from_str::<DealId>("\"0x1234\"").is_err());
}

#[test]
fn units_are_numbers_in_json_and_never_run_over() {
    assert_eq!(serde_json::to_string(&BlockNumber(7)).unwrap(), "7");
    assert_eq!(
        serde_json::to_string(&Timestamp::from_secs(2)).unwrap(),
        "2000"
    );
    assert_eq!(Timestamp(2999).as_secs(), 2);
    assert_eq!(
        Timestamp(5).saturating_sub(Duration::from_secs(1)),
        Timestamp(0)
    );
    assert_eq!(
        Timestamp(5).saturating_add(Duration::MAX),
        Timestamp(u64::MAX)
    );
    assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_millis(4));
    assert_eq!(Wei(1).saturating_minus(Wei(2)), Wei(0));
    assert_eq!(Timestamp::from_secs(u64::MAX).millis(), u64::MAX);
}

#[test]
fn a_status_the_protocol_does_not_know_is_an_error_and_not_another_status() {
    assert_eq!(ChainTaskStatus::try_from(4), Ok(ChainTaskStatus::Failed));
    assert_eq!(
        ChainTaskStatus::try_from(5),
        Err(Unknown {
            what: "task",
            number: 5
        })
    );
    assert_eq!(
        ChainContributionStatus::try_from(3),
        Ok(ChainContributionStatus::Rejected)
    );
    assert_eq!(
        ChainContributionStatus::try_from(4)
            .unwrap_err()
            .to_string(),
        "the chain returned contribution status 4, which this version does not know"
    );
}

#[test]
fn statuses_are_written_with_their_java_names() {
    assert_eq!(
        serde_json::to_string(&ChainTaskStatus::Revealing).unwrap(),
        "\"REVEALING\""
    );
    assert_eq!(
        serde_json::to_string(&ChainContributionStatus::Proved).unwrap(),
        "\"REVEALED\""
    );
    assert_eq!(
        serde_json::to_string(&ChainContributionStatus::Contributed).unwrap(),
        "\"CONTRIBUTED\""
    );
}

#[test]
fn a_tag_with_the_tee_bit_and_no_known_framework_can_never_be_executed() {
    for nibble in [1, 7, 0xb, 0xf, 0xd] {
        assert!(tag(nibble).is_impossible(), "{nibble:#x}");
    }
    for nibble in [0, 2, 3, 5, 8, 9] {
        assert!(!tag(nibble).is_impossible(), "{nibble:#x}");
    }
}

#[test]
fn a_tag_names_its_framework_and_its_graphics_processor_apart() {
    let gpu = Tag::of_deal(Tag::SCONE, Tag::NONE, Tag::GPU);
    assert_eq!(gpu.tee_framework(), Some(TeeFramework::Scone));
    assert!(gpu.gpu() && gpu.needs_enclave());
    assert!(!Tag::SCONE.gpu());
    assert!(!Tag::GPU.needs_enclave());
    assert!(gpu.covers(Tag::GPU) && gpu.covers(Tag::TEE) && !gpu.covers(Tag::TDX));
    assert_eq!(Tag::GPU.to_string(), format!("0x{:064x}", 0x100));
}

fn tag(low: u8) -> Tag {
    format!("0x{low:064x}").parse().unwrap()
}

#[test]
fn a_result_link_has_exactly_the_spaces_that_peers_expect() {
    assert_eq!(
        result_link::ipfs("Qm1"),
        r#"{ "storage": "ipfs", "location": "/ipfs/Qm1" }"#
    );
    let task = TaskId(b256!(
        "0000000000000000000000000000000000000000000000000000000000000001"
    ));
    assert_eq!(
        result_link::dropbox(task),
        format!(r#"{{ "storage": "dropbox", "location": "/results/{task}" }}"#)
    );
    assert_eq!(
        result_link::callback(WORKER),
        r#"{ "storage": "ethereum", "location": "0x748e091bf16048cb5103e0e10f9d5a8b7fbdd860" }"#
    );
}

#[test]
fn a_result_link_is_read_back_and_text_that_is_none_is_not() {
    let link = ResultLink {
        storage: "ipfs".into(),
        location: "/ipfs/\"odd\"".into(),
    };
    assert_eq!(result_link::parse(&link.to_string()), Some(link));
    for text in ["", "0x", "/ipfs/Qm1", "[]", r#"{"location":"x"}"#] {
        assert_eq!(result_link::parse(text), None, "{text}");
    }
}

#[test]
fn a_folder_is_hashed_by_the_names_utf16_units() {
    let file = |text: &str| Some(digest::file(text.as_bytes()));
    // U+1F600 is two units from 0xD83D, before U+FF5E; as bytes it comes after.
    let in_order = digest::folder([("\u{1F600}", file("1")), ("\u{FF5E}", file("2"))]);
    let reversed = digest::folder([("\u{FF5E}", file("2")), ("\u{1F600}", file("1"))]);
    let other_names = digest::folder([("b", file("1")), ("a", file("2"))]);
    assert_eq!(in_order, reversed);
    assert_ne!(in_order, other_names);
    assert_eq!(
        digest::folder([("a", file("1")), ("sub", None)]),
        digest::folder([("a", file("1"))])
    );
}

#[test]
fn short_text_is_not_mistaken_for_a_binary_address() {
    // Java takes a leading `5`, `!`, … for a protocol number.
    for text in ["5678", "!x", "https://example.org/a", ""] {
        assert_eq!(assets::dataset_uri(text.as_bytes()), text);
    }
    // Cut short, or with something after it, it is not that address.
    let whole = poco::hex::decode(
        "a503221220359d55f58a43126d4ba446a35940265eb2dab57ecbc439e7f105c558f8774819",
        "",
    )
    .unwrap();
    assert!(assets::dataset_uri(&whole).starts_with("/ipfs/Qm"));
    assert!(!assets::dataset_uri(&whole[..36]).starts_with("/ipfs/"));
    assert!(!assets::dataset_uri(&[whole.as_slice(), b"x"].concat()).starts_with("/ipfs/"));
}

proptest! {
    #[test]
    fn lax_hex_never_fails_and_follows_its_three_rules(text in "(0x)?[0-9a-fA-FxX+/= é\u{1F600}]{0,40}") {
        prop_assert_eq!(lax_hex::decode(&text), by_the_rules(&text));
    }

    #[test]
    fn lax_hex_of_clean_hex_is_that_hex(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(lax_hex::decode(&poco::hex::encode(&bytes)), bytes);
    }

    #[test]
    fn any_bytes_survive_their_text(bytes in any::<[u8; 32]>()) {
        let id = TaskId(bytes.into());
        prop_assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
    }
}

/// The rule of the specification, written as Java has it: bytes from the end of the text forward, digit by digit.
fn by_the_rules(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let start = if units.starts_with(&[u16::from(b'0'), u16::from(b'x')]) {
        2
    } else {
        0
    };
    let digit = |unit: u16| match u8::try_from(unit).unwrap_or(0) {
        c @ b'0'..=b'9' => i32::from(c - b'0'),
        c @ b'a'..=b'f' => i32::from(c - b'a') + 10,
        c @ b'A'..=b'F' => i32::from(c - b'A') + 10,
        _ => -1,
    };
    let mut bytes = Vec::new();
    let mut at = start;
    if (units.len() - start) % 2 == 1 {
        bytes.push(digit(units[at]).rem_euclid(256) as u8);
        at += 1;
    }
    while at < units.len() {
        bytes.push((digit(units[at]) * 16 + digit(units[at + 1])).rem_euclid(256) as u8);
        at += 2;
    }
    bytes
}

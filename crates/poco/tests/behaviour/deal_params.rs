//! Parameters or arguments: decided as the Java stack decides.

use std::collections::BTreeMap;

use poco::deal_params::DealParams;
use proptest::prelude::*;

fn is_all_arguments(text: &str) -> bool {
    DealParams::parse(text)
        == DealParams {
            args: Some(text.to_owned()),
            ..DealParams::default()
        }
}

#[test]
fn every_known_key_is_read() {
    let params = DealParams::parse(
        r#" {"iexec_args":"a","iexec_input_files":["u1","u2"],"iexec_result_encryption":true,
        "iexec_result_storage_provider":"ipfs","iexec_result_storage_proxy":"https://p","iexec_secrets":{"1":"s"},"bulk_cid":"Qm"} "#,
    );
    assert_eq!(
        params,
        DealParams {
            args: Some("a".into()),
            input_files: vec!["u1".into(), "u2".into()],
            result_encryption: true,
            result_storage_provider: Some("ipfs".into()),
            result_storage_proxy: Some("https://p".into()),
            secrets: BTreeMap::from([("1".into(), "s".into())]),
            bulk_cid: "Qm".into(),
        }
    );
}

#[test]
fn what_is_written_is_read_back_and_leaves_out_what_is_empty() {
    let params = DealParams {
        args: Some("a \"b\"".into()),
        bulk_cid: "Qm".into(),
        ..DealParams::default()
    };
    assert_eq!(
        params.to_json(),
        r#"{"iexec_args":"a \"b\"","bulk_cid":"Qm"}"#
    );
    assert_eq!(DealParams::parse(&params.to_json()), params);
    assert_eq!(DealParams::default().to_json(), "{}");
}

#[test]
fn null_means_no_parameters_where_the_original_gets_stuck() {
    // onchain C5: the Java scheduler replays the deal's blocks until the deal expires.
    for text in ["null", "  null", "null and more", "null,"] {
        assert_eq!(DealParams::parse(text), DealParams::default(), "{text}");
    }
    assert!(is_all_arguments("nullable"));
    assert!(is_all_arguments("null_"));
}

#[test]
fn null_members_take_their_empty_value() {
    let text = r#"{"iexec_args":null,"iexec_input_files":null,"iexec_secrets":null,"bulk_cid":null,"iexec_result_storage_provider":null}"#;
    assert_eq!(DealParams::parse(text), DealParams::default());
}

#[test]
fn broken_json_is_arguments() {
    for text in [
        r#"{"iexec_args":"a""#,
        r#"{"iexec_args":"a",}"#,
        r#"{"iexec_args" "a"}"#,
        r#"{"iexec_args":01}"#,
        r#"{"iexec_args":truely}"#,
        "{\"iexec_args\":\"tab\tinside\"}",
        r#"{iexec_args:"a"}"#,
        r#"// {}"#,
        "12",
        "true",
        " ",
    ] {
        assert!(is_all_arguments(text), "{text}");
    }
}

#[test]
fn a_value_that_does_not_convert_spoils_the_whole_even_when_a_later_duplicate_would() {
    assert!(is_all_arguments(r#"{"iexec_args":["x"],"iexec_args":"b"}"#));
    assert!(is_all_arguments(r#"{"iexec_secrets":{"1":{}}}"#));
    assert!(is_all_arguments(r#"{"iexec_secrets":["a"]}"#));
    assert!(is_all_arguments(r#"{"iexec_input_files":[["a"]]}"#));
    assert!(is_all_arguments(r#"{"iexec_input_files":{}}"#));
    assert!(is_all_arguments(r#"{"bulk_cid":{}}"#));
}

#[test]
fn the_booleans_that_java_knows() {
    let encrypts = |value: &str| {
        DealParams::parse(&format!(r#"{{"iexec_result_encryption":{value}}}"#)).result_encryption
    };
    for value in [
        "true",
        "\"True\"",
        "\"TRUE\"",
        "\" true \"",
        "7",
        "-1",
        "99999999999999999999",
    ] {
        assert!(encrypts(value), "{value}");
    }
    for value in ["false", "\"False\"", "\"\"", "\"null\"", "0", "-0"] {
        let text = format!(r#"{{"iexec_args":"x","iexec_result_encryption":{value}}}"#);
        let params = DealParams::parse(&text);
        assert!(
            !params.result_encryption && params.args.as_deref() == Some("x"),
            "{value}"
        );
    }
    for value in ["1.0", "\"tRue\"", "\" \"", "[]", "\"1\""] {
        assert!(
            is_all_arguments(&format!(r#"{{"iexec_result_encryption":{value}}}"#)),
            "{value}"
        );
    }
}

#[test]
fn escapes_are_resolved_and_half_a_surrogate_pair_becomes_a_question_mark() {
    let args = |text: &str| DealParams::parse(text).args.unwrap();
    assert_eq!(
        args(r#"{"iexec_args":"\u0041\n\/\ud83d\ude00"}"#),
        "A\n/\u{1F600}"
    );
    assert_eq!(args(r#"{"iexec_args":"a\ud83db"}"#), "a?b");
    assert_eq!(args(r#"{"iexec_args":"\ude00\ud83d"}"#), "??");
    assert_eq!(args(r#"{"iexec_\u0061rgs":"x"}"#), "x");
}

#[test]
fn a_text_of_a_megabyte_is_read_like_any_other() {
    let many = "x".repeat(1 << 20);
    assert!(is_all_arguments(&many));
    assert!(is_all_arguments(&format!("{{\"unknown\":\"{many}\"}}")));
    let object = format!("{{\"iexec_args\":\"{many}\"}}");
    assert_eq!(DealParams::parse(&object).args, Some(many));
    let urls = vec!["http://a/b"; 100_000];
    let files = DealParams::parse(&serde_json::json!({"iexec_input_files": urls}).to_string());
    assert_eq!(files.input_files, urls);
    let keys: String = (0..50_000).map(|_| "\"iexec_args\":\"a\",").collect();
    let last = DealParams::parse(&format!("{{{keys}\"iexec_args\":\"last\"}}"));
    assert_eq!(last.args.as_deref(), Some("last"));
}

#[test]
fn brackets_in_brackets_without_end_are_arguments_and_use_up_no_stack() {
    for (open, close) in [("[", "]"), ("{\"iexec_secrets\":", "}")] {
        let nested = open.repeat(200_000);
        assert!(is_all_arguments(&nested));
        assert!(is_all_arguments(&format!(
            "{nested}1{}",
            close.repeat(200_000)
        )));
        let inner = "[".repeat(200_000);
        assert!(is_all_arguments(&format!("{{\"iexec_args\":{inner}")));
        let whole = format!("{{\"iexec_input_files\":{inner}{}}}", "]".repeat(200_000));
        assert!(is_all_arguments(&whole));
    }
}

proptest! {
    #[test]
    fn no_text_makes_reading_fail_and_text_without_a_brace_is_arguments(text in "\\PC{0,60}") {
        let params = DealParams::parse(&text);
        if !text.trim_start().starts_with(['{', 'n']) {
            prop_assert_eq!(params.args.as_deref(), Some(text.as_str()));
        }
    }

    #[test]
    fn any_arguments_survive_a_round_trip(args in any::<String>(), files in prop::collection::vec(any::<String>(), 0..3)) {
        let params = DealParams { args: Some(args), input_files: files, ..DealParams::default() };
        prop_assert_eq!(DealParams::parse(&params.to_json()), params);
    }
}

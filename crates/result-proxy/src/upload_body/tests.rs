use super::*;

/// Task and archive of a body that arrives in pieces of `piece` bytes.
fn read_by(piece: usize, body: &str) -> Result<(Option<String>, Vec<u8>), BodyError> {
    let mut reader = UploadBody::new(100_000);
    let mut archive = Vec::new();
    for piece in body.as_bytes().chunks(piece) {
        reader.push(piece)?;
        archive.extend(reader.take_decoded());
    }
    Ok((reader.finish()?, archive))
}

fn read(body: &str) -> Result<(Option<String>, Vec<u8>), BodyError> {
    let whole = read_by(usize::MAX, body);
    for piece in [1, 2, 3, 7] {
        assert_eq!(
            read_by(piece, body).is_ok(),
            whole.is_ok(),
            "in pieces of {piece}: {body}"
        );
    }
    if let Ok(whole) = &whole {
        assert_eq!(&read_by(1, body).unwrap(), whole);
        assert_eq!(&read_by(5, body).unwrap(), whole);
    }
    whole
}

#[test]
fn the_java_worker_sends_base64() {
    let body = r#"{"chainTaskId":"0x8772","dealId":"0x00","taskIndex":0,"image":null,"cmd":null,"zip":"UEsD/+o=","deterministHash":"0x33","enclaveSignature":"0x00"}"#;
    let (task, archive) = read(body).unwrap();
    assert_eq!(task.as_deref(), Some("0x8772"));
    assert_eq!(archive, [0x50, 0x4b, 0x03, 0xff, 0xea]);
}

#[test]
fn enclave_images_send_an_array_of_numbers() {
    let body = r#"{ "zip" : [80, 75,3 ,255,200,-1,null,-128] , "chainTaskId" : "0x01" }"#;
    let (task, archive) = read(body).unwrap();
    assert_eq!(task.as_deref(), Some("0x01"));
    assert_eq!(archive, [0x50, 0x4b, 3, 0xff, 0xc8, 0xff, 0, 0x80]);
}

#[test]
fn both_encodings_survive_every_cut_of_the_network() {
    let bytes: Vec<u8> = (0..40_000u32).map(|i| (i * 7 % 256) as u8).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let numbers = serde_json::to_string(&bytes).unwrap();
    for zip in [format!("\"{base64}\""), numbers] {
        let body = format!(r#"{{"zip":{zip}}}"#);
        for piece in [1, 1000, 4096, usize::MAX] {
            assert_eq!(read_by(piece, &body).unwrap().1, bytes);
        }
    }
}

#[test]
fn escapes_and_line_ends_in_base64_are_read() {
    assert_eq!(
        read(r#"{"zip":"UEsD\/\u002b\r\no="}"#).unwrap().1,
        [0x50, 0x4b, 3, 0xff, 0xea]
    );
}

#[test]
fn an_absent_or_null_archive_is_empty() {
    assert_eq!(read("{}").unwrap(), (None, vec![]));
    assert_eq!(
        read(r#"{"zip":null,"chainTaskId":null}"#).unwrap(),
        (None, vec![])
    );
    assert!(read(r#"{"zip":""}"#).unwrap().1.is_empty());
    assert!(read(r#"{"zip":[]}"#).unwrap().1.is_empty());
}

#[test]
fn members_that_are_not_needed_are_passed_over_whatever_they_hold() {
    let body = r#"{"a":{"b":["}",{"c\"":1}]},"d":-1.5e3,"e":true,"f":"\\","chainTaskId":"0xé","zip":"UEs="}"#;
    assert_eq!(read(body).unwrap(), (Some("0xé".into()), vec![0x50, 0x4b]));
}

#[test]
fn what_is_not_an_upload_is_refused() {
    for body in [
        "",
        "[]",
        "nonsense",
        "{",
        "{\"zip\":\"UEs=\"",
        "{\"zip\"}",
        "{\"zip\":}",
        "{}{}",
        "{,}",
        r#"{"zip":"UEs=",}"#,
        r#"{"zip":"UEs"}"#,
        r#"{"zip":"UE=="#,
        r#"{"zip":"UEs=UEs="}"#,
        r#"{"zip":"UE*="}"#,
        r#"{"zip":"\u0100"}"#,
        r#"{"zip":"\u+02b"}"#,
        r#"{"zip":[256]}"#,
        r#"{"zip":[-129]}"#,
        r#"{"zip":[1.5]}"#,
        r#"{"zip":[1,]}"#,
        r#"{"zip":[1 2]}"#,
        r#"{"zip":[,1]}"#,
        r#"{"zip":[-]}"#,
        r#"{"zip":[01]}"#,
        r#"{"zip":["a"]}"#,
        r#"{"zip":[[1]]}"#,
        r#"{"zip":nul}"#,
        r#"{"zip":7}"#,
        r#"{"zip":"","zip":""}"#,
        r#"{"chainTaskId":7}"#,
        r#"{"a":tru}"#,
        r#"{"a":]}"#,
        r#"{"a":[}"#,
        r#"{"a":1]"#,
    ] {
        let refused = read(body);
        assert!(
            matches!(refused, Err(BodyError::Unreadable { .. })),
            "{body}: {refused:?}"
        );
    }
}

#[test]
fn the_cap_counts_decoded_bytes_whatever_the_encoding() {
    let exactly: Vec<u8> = vec![200; 100_000];
    let over: Vec<u8> = vec![200; 100_001];
    let numbers = |bytes: &[u8]| format!(r#"{{"zip":{}}}"#, serde_json::to_string(bytes).unwrap());
    let base64 = |bytes: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!(r#"{{"zip":"{text}"}}"#)
    };
    for encode in [&numbers as &dyn Fn(&[u8]) -> String, &base64] {
        assert_eq!(read_by(8192, &encode(&exactly)).unwrap().1, exactly);
        assert_eq!(
            read_by(8192, &encode(&over)),
            Err(BodyError::TooLarge { most: 100_000 })
        );
    }
}

#[test]
fn spaces_without_end_are_refused_too() {
    let mut reader = UploadBody::new(10);
    let spaces = vec![b' '; 1 << 19];
    reader.push(&spaces).unwrap();
    reader.push(&spaces).unwrap();
    assert_eq!(reader.push(&spaces), Err(BodyError::TooLarge { most: 10 }));
}

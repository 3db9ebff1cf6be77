use super::*;

/// All frames of a text that comes in these pieces.
fn frames(pieces: &[&str]) -> Result<Vec<Frame>, Malformed> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece)?;
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

fn one(text: &str) -> Frame {
    let mut frames = frames(&[text]).unwrap();
    assert_eq!(frames.len(), 1, "{text:?}");
    frames.remove(0)
}

#[test]
fn frames_as_a_java_worker_sends_them_are_read() {
    let connect = one("CONNECT\nheart-beat:10000,10000\naccept-version:1.1,1.2\n\n\0");
    assert_eq!(connect.command, Command::Connect);
    assert_eq!(connect.header("accept-version"), Some("1.1,1.2"));
    let subscribe = one("SUBSCRIBE\ndestination:/topic/task/0x65bc\nid:0\n\n\0");
    assert_eq!(subscribe.header("destination"), Some("/topic/task/0x65bc"));
    assert_eq!(one("UNSUBSCRIBE\nid:0\n\n\0").header("id"), Some("0"));
    assert_eq!(one("STOMP\r\nhost:x\r\n\r\n\0").command, Command::Connect);
}

#[test]
fn frames_come_in_any_pieces_with_signs_of_life_between_them() {
    let text = "\n\r\nSUBSCRIBE\ndestination:/topic/é\nid:0\n\n\0\n\nSEND\ncontent-length:7\n\na\0b\ncé\0DISCONNECT\n\n\0\n";
    let whole = frames(&[text]).unwrap();
    assert_eq!(whole.len(), 3);
    assert_eq!(whole[1].body, "a\0b\ncé");
    for (cut, _) in text.char_indices() {
        let (one, other) = text.split_at(cut);
        assert_eq!(frames(&[one, other]).unwrap(), whole, "{cut}");
    }
    let letters: Vec<String> = text.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(frames(&letters).unwrap(), whole);
}

#[test]
fn what_a_frame_says_survives_the_way_there_and_back() {
    let frame = Frame::new(Command::Message)
        .with("destination", "/topic/a:b\\c\nd\re")
        .with("empty", "");
    let frame = Frame {
        body: "{\"a\":\"\0é\"}".into(),
        ..frame
    };
    let read = one(&frame.to_string());
    assert_eq!(read.header("content-length"), Some("11"));
    assert_eq!(read.headers[..2], frame.headers);
    assert_eq!(read.body, frame.body);
    assert_eq!(one(&read.to_string()), read);
}

#[test]
fn headers_of_connect_are_as_they_stand() {
    assert_eq!(
        one("CONNECT\nlogin:a\\cb\n\n\0").header("login"),
        Some("a\\cb")
    );
    assert_eq!(one("SEND\na:b\\cd:e\na:f\n\n\0").header("a"), Some("b:d:e"));
}

#[test]
fn what_can_never_become_a_frame_is_said_at_once() {
    let long = "x".repeat(LONGEST_FRAME);
    for (text, why) in [
        (
            "GET / HTTP/1.1\n",
            Malformed::Command("GET / HTTP/1.1".into()),
        ),
        ("SEND\nno colon\n\n\0", Malformed::Header("no colon".into())),
        (
            "SEND\n:nameless\n\n\0",
            Malformed::Header(":nameless".into()),
        ),
        ("SEND\na:\\t\n\n\0", Malformed::Escape("\\t".into())),
        ("SEND\na:\\\n\n\0", Malformed::Escape("\\".into())),
        ("SEND\ncontent-length:1\n\nab\0", Malformed::NotEnded),
        ("SEND\ncontent-length:1\n\né\0", Malformed::NotEnded),
        ("SEND\ncontent-length:99999999\n\n", Malformed::TooLong),
        ("SUBSCRIBE\nid:1\n\nbody\0", Malformed::Body("SUBSCRIBE")),
    ] {
        assert_eq!(frames(&[text]), Err(why), "{text:?}");
    }
    assert_eq!(frames(&["SEND\na:", &long]), Err(Malformed::TooLong));
    assert_eq!(frames(&["SEND\n\n", &long]), Err(Malformed::TooLong));
    let headers = format!("SEND\n{}", "a:b\n".repeat(MOST_HEADERS + 1));
    assert_eq!(frames(&[&headers]), Err(Malformed::Headers));
    // A length that is none is as if it were not there.
    assert_eq!(one("SEND\ncontent-length:x\n\nab\0").body, "ab");
}

//! One session's side of the simple broker: what a client's frames do, and what it is answered (spec scheduler-api §7.6). Destinations are
//! topics of tasks; nothing a client sends reaches another.

use std::collections::BTreeMap;

use super::{Command, Decoder, Frame, Malformed};

/// Versions that are spoken, the best first.
const VERSIONS: [&str; 3] = ["1.2", "1.1", "1.0"];

/// Subscriptions of one session. A worker has one for each task it has a part in.
pub const MOST_SUBSCRIPTIONS: usize = 256;

/// Bytes of a destination, and of a client's name for a subscription. Both are kept, and sent with each message; a task's topic has 78.
pub const LONGEST_NAME: usize = 256;

/// What a client's frame leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is to be sent this frame.
    Send(Frame),
    /// It began, perhaps with the text of an `Authorization` header, which must be right if it is there.
    Connects {
        /// The header.
        authorization: Option<String>,
        /// Its answer, once that is right.
        answer: Frame,
    },
    /// It listens to a destination from now on, under the name that it gave.
    Subscribes {
        /// Its name for the subscription.
        id: String,
        /// What it listens to.
        destination: String,
    },
    /// It does so no longer.
    Unsubscribes {
        /// Its name for the subscription.
        id: String,
        /// What it listened to.
        destination: String,
    },
    /// The session is over; it is to be closed as a protocol error.
    Ends,
}

/// One client.
#[derive(Debug, Default)]
pub struct Client {
    decoder: Decoder,
    connected: bool,
    ended: bool,
    subscriptions: BTreeMap<String, String>,
}

impl Client {
    /// Whether it may be sent messages.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected && !self.ended
    }

    /// What it listens to, by its names for the subscriptions.
    #[must_use]
    pub const fn subscriptions(&self) -> &BTreeMap<String, String> {
        &self.subscriptions
    }

    /// Takes what it sent, in order.
    pub fn receive(&mut self, text: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.ended {
            return effects;
        }
        let mut frame = self
            .decoder
            .push(text)
            .and_then(|()| self.decoder.next_frame());
        loop {
            match frame {
                Ok(None) => return effects,
                Ok(Some(read)) => self.act(read, &mut effects),
                Err(malformed) => self.refuse(&malformed, &mut effects),
            }
            if self.ended {
                return effects;
            }
            frame = self.decoder.next_frame();
        }
    }

    fn act(&mut self, frame: Frame, effects: &mut Vec<Effect>) {
        match frame.command {
            Command::Connect if self.connected => self.end("Already connected.", effects),
            Command::Connect => self.connect(&frame, effects),
            _ if !self.connected => self.end("Not connected yet.", effects),
            Command::Subscribe => self.subscribe(&frame, effects),
            Command::Unsubscribe => {
                let gone = frame
                    .header("id")
                    .and_then(|id| self.subscriptions.remove_entry(id));
                if let Some((id, destination)) = gone {
                    effects.push(Effect::Unsubscribes { id, destination });
                }
            }
            Command::Disconnect => {
                self.ended = true;
                effects.push(Effect::Send(match frame.header("receipt") {
                    Some(receipt) => Frame::new(Command::Receipt).with("receipt-id", receipt),
                    None => error("Session closed."),
                }));
                effects.push(Effect::Ends);
            }
            // Whatever a client says to a topic is heard by nobody (Q33), and there are no transactions.
            Command::Send
            | Command::Ack
            | Command::Nack
            | Command::Begin
            | Command::Commit
            | Command::Abort => {}
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                self.end("Not a client's frame.", effects);
            }
        }
        if let Some(receipt) = frame.header("receipt")
            && !matches!(frame.command, Command::Connect | Command::Disconnect)
            && !self.ended
        {
            let answer = Frame::new(Command::Receipt).with("receipt-id", receipt);
            effects.push(Effect::Send(answer));
        }
    }

    fn connect(&mut self, frame: &Frame, effects: &mut Vec<Effect>) {
        let offered = frame.header("accept-version").unwrap_or("1.0");
        let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
        let Some(version) = VERSIONS.into_iter().find(|known| offered.contains(known)) else {
            return self.end("Unsupported version.", effects);
        };
        self.connected = true;
        // No signs of life of STOMP's own: SockJS has some, and a client that was promised more would wait for them.
        let answer = Frame::new(Command::Connected)
            .with("version", version)
            .with("heart-beat", "0,0");
        effects.push(Effect::Connects {
            authorization: authorization(frame),
            answer,
        });
    }

    fn subscribe(&mut self, frame: &Frame, effects: &mut Vec<Effect>) {
        let (Some(id), Some(destination)) = (frame.header("id"), frame.header("destination"))
        else {
            return;
        };
        if id.len().max(destination.len()) > LONGEST_NAME {
            return self.end("A name is too long.", effects);
        }
        // As the original: silence. A client that listens elsewhere hears nothing.
        if !is_topic(destination) || self.subscriptions.len() >= MOST_SUBSCRIPTIONS {
            return;
        }
        let (id, destination) = (id.to_owned(), destination.to_owned());
        if let Some(before) = self.subscriptions.insert(id.clone(), destination.clone()) {
            effects.push(Effect::Unsubscribes {
                id: id.clone(),
                destination: before,
            });
        }
        effects.push(Effect::Subscribes { id, destination });
    }

    /// Ends the session with an `ERROR` frame.
    fn end(&mut self, message: &str, effects: &mut Vec<Effect>) {
        self.ended = true;
        effects.push(Effect::Send(error(message)));
        effects.push(Effect::Ends);
    }

    fn refuse(&mut self, malformed: &Malformed, effects: &mut Vec<Effect>) {
        self.end(&malformed.to_string(), effects);
    }
}

/// An `ERROR` frame.
#[must_use]
pub fn error(message: &str) -> Frame {
    Frame::new(Command::Error).with("message", message)
}

/// One message of a subscription up to its body, which has `length` bytes and is followed by NUL: `number` is its place among those of its
/// session.
#[must_use]
pub fn message_head(
    session: &str,
    number: u64,
    subscription: &str,
    destination: &str,
    length: usize,
) -> String {
    let mut head = Frame::new(Command::Message)
        .with("destination", destination)
        .with("content-type", "application/json")
        .with("subscription", subscription)
        .with("message-id", format!("{session}-{number}"))
        .with("content-length", length.to_string())
        .to_string();
    // The NUL that ends a frame without a body.
    head.pop();
    head
}

/// The topics of tasks, one each; no patterns (Q33).
fn is_topic(destination: &str) -> bool {
    destination.starts_with("/topic/") && !destination.contains(['*', '?', '{', '}'])
}

fn authorization(frame: &Frame) -> Option<String> {
    let mut headers = frame.headers.iter();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    found.map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: &str = "CONNECT\nheart-beat:10000,10000\naccept-version:1.1,1.2\n\n\0";

    fn said(effects: &[Effect]) -> Vec<String> {
        let say = |effect: &Effect| match effect {
            Effect::Send(frame) | Effect::Connects { answer: frame, .. } => frame.to_string(),
            other => format!("{other:?}"),
        };
        effects.iter().map(say).collect()
    }

    fn connected() -> Client {
        let mut client = Client::default();
        client.receive(CONNECT);
        assert!(client.is_connected());
        client
    }

    #[test]
    fn the_answer_to_connect_is_the_original_s() {
        let answers = |offered: &str| said(&Client::default().receive(offered));
        assert_eq!(
            answers(CONNECT),
            ["CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"]
        );
        assert_eq!(
            answers("CONNECT\n\n\0"),
            ["CONNECTED\nversion:1.0\nheart-beat:0,0\n\n\0"]
        );
        let refused = answers("CONNECT\naccept-version:2.0\n\n\0");
        assert_eq!(
            refused,
            ["ERROR\nmessage:Unsupported version.\n\n\0", "Ends"]
        );
    }

    #[test]
    fn a_client_that_can_send_a_token_is_known_by_it() {
        let mut client = Client::default();
        let effects = client.receive("CONNECT\naccept-version:1.2\nAuthorization:Bearer a:b\n\n\0");
        assert!(
            matches!(&effects[0], Effect::Connects { authorization: Some(text), .. } if text == "Bearer a:b")
        );
    }

    #[test]
    fn topics_are_listened_to_until_they_are_left() {
        let mut client = connected();
        let topic = |id: &str, task: &str| {
            format!("SUBSCRIBE\ndestination:/topic/task/{task}\nid:{id}\n\n\0")
        };
        assert_eq!(client.receive(&topic("0", "a")).len(), 1);
        assert_eq!(client.receive(&topic("1", "b")).len(), 1);
        // The same name for another topic replaces it.
        assert_eq!(
            client.receive(&topic("0", "c")),
            [
                Effect::Unsubscribes {
                    id: "0".into(),
                    destination: "/topic/task/a".into()
                },
                Effect::Subscribes {
                    id: "0".into(),
                    destination: "/topic/task/c".into()
                },
            ]
        );
        let left = client.receive("UNSUBSCRIBE\nid:1\n\n\0");
        assert_eq!(
            left,
            [Effect::Unsubscribes {
                id: "1".into(),
                destination: "/topic/task/b".into()
            }]
        );
        assert_eq!(client.receive("UNSUBSCRIBE\nid:1\n\n\0"), []);
        assert_eq!(client.subscriptions().len(), 1);
    }

    #[test]
    fn what_a_client_says_is_heard_by_nobody_and_patterns_are_no_topics() {
        let mut client = connected();
        for text in [
            "SEND\ndestination:/topic/task/a\n\n{\"taskNotificationType\":\"PLEASE_ABORT\"}\0",
            "SUBSCRIBE\ndestination:/topic/**\nid:0\n\n\0",
            "SUBSCRIBE\ndestination:/topic/task/?\nid:0\n\n\0",
            "SUBSCRIBE\ndestination:/user/queue\nid:0\n\n\0",
            "SUBSCRIBE\ndestination:/topic/task/a\n\n\0",
            "ACK\nid:1\n\n\0BEGIN\ntransaction:1\n\n\0\n",
        ] {
            assert_eq!(client.receive(text), [], "{text}");
        }
        assert!(client.subscriptions().is_empty() && client.is_connected());
    }

    #[test]
    fn a_receipt_is_given_where_one_is_wanted() {
        let mut client = connected();
        assert_eq!(
            said(&client.receive("SEND\nreceipt:7\n\n\0")),
            ["RECEIPT\nreceipt-id:7\n\n\0"]
        );
        let effects = said(&client.receive("DISCONNECT\nreceipt:8\n\n\0SEND\nreceipt:9\n\n\0"));
        assert_eq!(effects, ["RECEIPT\nreceipt-id:8\n\n\0", "Ends"]);
        assert_eq!(client.receive("SEND\nreceipt:9\n\n\0"), []);
    }

    #[test]
    fn whatever_breaks_the_protocol_ends_the_session() {
        for text in [
            "SUBSCRIBE\ndestination:/topic/task/a\nid:0\n\n\0".to_owned(),
            format!("{CONNECT}{CONNECT}"),
            format!("{CONNECT}MESSAGE\n\n\0"),
            "NONSENSE\n\n\0".to_owned(),
            "x".repeat(super::super::LONGEST_FRAME + 1),
        ] {
            let mut client = Client::default();
            let effects = client.receive(&text);
            assert_eq!(effects.last(), Some(&Effect::Ends), "{text:.40}");
            assert!(said(&effects)[effects.len() - 2].starts_with("ERROR\nmessage:"));
            assert!(!client.is_connected());
        }
    }

    #[test]
    fn a_message_is_the_original_s_to_the_byte() {
        let head = message_head("c6e8", 0, "0", "/topic/task/0x65bc", 2);
        assert_eq!(
            head + "{}\0",
            "MESSAGE\ndestination:/topic/task/0x65bc\ncontent-type:application/json\nsubscription:0\nmessage-id:c6e8-0\ncontent-length:2\n\n{}\0"
        );
    }

    #[test]
    fn names_that_are_kept_are_short() {
        let subscribe = |id: &str, task: &str| {
            connected().receive(&format!(
                "SUBSCRIBE\ndestination:/topic/{task}\nid:{id}\n\n\0"
            ))
        };
        let longest = "x".repeat(LONGEST_NAME);
        assert_eq!(subscribe(&longest, "a").len(), 1);
        for effects in [
            subscribe(&format!("{longest}x"), "a"),
            subscribe("0", &longest),
        ] {
            assert_eq!(effects.last(), Some(&Effect::Ends));
        }
    }

    #[test]
    fn nobody_has_more_subscriptions_than_a_session_may() {
        let mut client = connected();
        for id in 0..=MOST_SUBSCRIPTIONS {
            client.receive(&format!(
                "SUBSCRIBE\ndestination:/topic/task/a\nid:{id}\n\n\0"
            ));
        }
        assert_eq!(client.subscriptions().len(), MOST_SUBSCRIPTIONS);
    }
}

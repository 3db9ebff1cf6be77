//! Tables of the kernel's packet filter (nf_tables), written over netlink: made, replaced and removed as one transaction each, so that
//! there is no instant at which half of the rules stand. No program such as `nft` or `iptables` is needed. It touches no table but the
//! one that it is told, and it decides nothing: which rules there are says [`super::rules`].

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

/// How long the kernel has to answer; it does so at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A chain of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// Its name.
    pub(super) name: &'static str,
    /// Where packets enter it; a chain without one is only jumped to.
    pub(super) hook: Option<Hook>,
    /// Its rules, in order.
    pub(super) rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// Those for this machine itself.
    Input,
    /// Those that pass through.
    Forward,
    /// Those that this machine sends.
    Output,
}

/// A rule: when all of these hold, this is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) when: Vec<Match>,
    pub(super) then: Verdict,
}

/// Something about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// It came in by a device whose name begins so.
    FromDevices(String),
    /// It goes out by this device.
    ToDevice(&'static str),
    /// It is IPv4.
    V4,
    /// It is not.
    NotV4,
    /// It goes to an address of this range. Only after [`Match::V4`].
    To(Ipv4Addr, u8),
    /// It is of this protocol: TCP is 6, UDP 17.
    Protocol(u8),
    /// It goes to this port, by that protocol.
    Port(u8, u16),
}

/// What is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// These rules let it pass.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone, and its sender is told so.
    Reject,
    /// It is gone, and its TCP connection is over. Only after [`Match::Protocol`] of TCP.
    Reset,
    /// The rules of this chain are asked.
    Jump(&'static str),
}

/// Makes the table anew with exactly these chains, in one transaction, whatever was in it before.
pub(super) fn replace(table: &str, chains: &[Chain]) -> io::Result<()> {
    let mut batch = Batch::begin();
    // Making a table that is there is no error, removing one that is not is: so it is made, removed and made.
    batch.table(NEWTABLE, table);
    batch.table(DELTABLE, table);
    batch.table(NEWTABLE, table);
    for chain in chains {
        batch.chain(table, chain);
    }
    for chain in chains {
        for rule in &chain.rules {
            batch.rule(table, chain.name, rule);
        }
    }
    batch.send()
}

/// Removes the table with all that is in it; one that is not there is no error.
pub(super) fn remove(table: &str) -> io::Result<()> {
    let mut batch = Batch::begin();
    batch.table(NEWTABLE, table);
    batch.table(DELTABLE, table);
    batch.send()
}

/// The names of the tables whose names begin with `prefix`, and how many chains each has.
pub(super) fn tables(prefix: &str) -> io::Result<Vec<(String, u32)>> {
    let mut message = Vec::new();
    header(&mut message, 10 << 8 | GETTABLE, FLAG_DUMP, 1, 0, |_| {});
    let mut found = Vec::new();
    exchange(&message, |kind, payload| {
        if kind == 10 << 8 | NEWTABLE {
            let (mut name, mut chains) = (String::new(), 0);
            for (attribute, value) in attributes(payload.get(4..).unwrap_or_default()) {
                match attribute {
                    1 => name = text(value),
                    3 => chains = value.try_into().map_or(0, u32::from_be_bytes),
                    _ => {}
                }
            }
            if name.starts_with(prefix) {
                found.push((name, chains));
            }
        }
        Ok(kind == DONE)
    })?;
    Ok(found)
}

// Numbers of the kernel's interface (linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
const FLAG_DUMP: u16 = 0x300;
const FLAG_CREATE: u16 = 0x400;
const FLAG_APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
/// Both families in one table.
const INET: u8 = 1;
/// Before the chains of others at the same hook: what is refused here is refused for good, whatever they say.
const PRIORITY: i32 = -10;
const REGISTER: u32 = 1;
const TCP_RESET: u32 = 1;
const ICMP_UNREACHABLE: u32 = 2;
const ADMINISTRATIVELY_PROHIBITED: u8 = 3;

/// Messages that the kernel takes whole or not at all.
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            sequence: 0,
        };
        batch.edge(BATCH_BEGIN);
        batch
    }

    fn edge(&mut self, kind: u16) {
        self.sequence += 1;
        header(&mut self.bytes, kind, 0, self.sequence, 10, |_| {});
    }

    fn add(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        self.sequence += 1;
        header(
            &mut self.bytes,
            10 << 8 | kind,
            flags | FLAG_ACK,
            self.sequence,
            0,
            fill,
        );
    }

    fn table(&mut self, kind: u16, table: &str) {
        let flags = if kind == NEWTABLE { FLAG_CREATE } else { 0 };
        self.add(kind, flags, |out| name(out, 1, table));
    }

    fn chain(&mut self, table: &str, chain: &Chain) {
        self.add(NEWCHAIN, FLAG_CREATE, |out| {
            name(out, 1, table);
            name(out, 3, chain.name);
            if let Some(hook) = chain.hook {
                let number: u32 = match hook {
                    Hook::Input => 1,
                    Hook::Forward => 2,
                    Hook::Output => 3,
                };
                nest(out, 4, |out| {
                    put(out, 1, &number.to_be_bytes());
                    put(out, 2, &PRIORITY.to_be_bytes());
                });
                name(out, 7, "filter");
            }
        });
    }

    fn rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        self.add(NEWRULE, FLAG_CREATE | FLAG_APPEND, |out| {
            name(out, 1, table);
            name(out, 2, chain);
            nest(out, 4, |out| {
                rule.when.iter().for_each(|found| found.write(out));
                rule.then.write(out);
            });
        });
    }

    fn send(mut self) -> io::Result<()> {
        let last = self.sequence;
        self.edge(BATCH_END);
        exchange(&self.bytes, |_, payload| Ok(acknowledged(payload)? == last))
    }
}

impl Match {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::FromDevices(prefix) => {
                meta(out, 6);
                compare(out, true, prefix.as_bytes());
            }
            Self::ToDevice(device) => {
                meta(out, 7);
                let mut name = device.as_bytes().to_vec();
                name.resize(16, 0);
                compare(out, true, &name);
            }
            Self::V4 | Self::NotV4 => {
                meta(out, 15);
                compare(out, *self == Self::V4, &[2]);
            }
            Self::To(address, prefix) => {
                payload(out, 1, 16, 4);
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(*prefix))
                    .unwrap_or_default();
                expression(out, "bitwise", |out| {
                    put(out, 1, &REGISTER.to_be_bytes());
                    put(out, 2, &REGISTER.to_be_bytes());
                    put(out, 3, &4u32.to_be_bytes());
                    nest(out, 4, |out| put(out, 1, &mask.to_be_bytes()));
                    nest(out, 5, |out| put(out, 1, &[0; 4]));
                });
                compare(out, true, &(u32::from(*address) & mask).to_be_bytes());
            }
            Self::Protocol(protocol) => {
                meta(out, 16);
                compare(out, true, &[*protocol]);
            }
            Self::Port(protocol, port) => {
                Self::Protocol(*protocol).write(out);
                payload(out, 2, 2, 2);
                compare(out, true, &port.to_be_bytes());
            }
        }
    }
}

impl Verdict {
    fn write(self, out: &mut Vec<u8>) {
        let verdict = |out: &mut Vec<u8>, code: i32, chain: Option<&str>| {
            expression(out, "immediate", |out| {
                put(out, 1, &0u32.to_be_bytes());
                nest(out, 2, |out| {
                    nest(out, 2, |out| {
                        put(out, 1, &code.to_be_bytes());
                        if let Some(chain) = chain {
                            name(out, 2, chain);
                        }
                    });
                });
            });
        };
        match self {
            Self::Drop => verdict(out, 0, None),
            Self::Accept => verdict(out, 1, None),
            Self::Jump(chain) => verdict(out, -3, Some(chain)),
            Self::Reset => expression(out, "reject", |out| {
                put(out, 1, &TCP_RESET.to_be_bytes());
            }),
            Self::Reject => expression(out, "reject", |out| {
                put(out, 1, &ICMP_UNREACHABLE.to_be_bytes());
                put(out, 2, &[ADMINISTRATIVELY_PROHIBITED]);
            }),
        }
    }
}

/// Loads something about the packet's way.
fn meta(out: &mut Vec<u8>, key: u32) {
    expression(out, "meta", |out| {
        put(out, 1, &REGISTER.to_be_bytes());
        put(out, 2, &key.to_be_bytes());
    });
}

/// Loads `length` bytes of the packet's network (1) or transport (2) header.
fn payload(out: &mut Vec<u8>, base: u32, offset: u32, length: u32) {
    expression(out, "payload", |out| {
        for (attribute, value) in [(1, REGISTER), (2, base), (3, offset), (4, length)] {
            put(out, attribute, &value.to_be_bytes());
        }
    });
}

fn compare(out: &mut Vec<u8>, equal: bool, value: &[u8]) {
    expression(out, "cmp", |out| {
        put(out, 1, &REGISTER.to_be_bytes());
        put(out, 2, &u32::from(!equal).to_be_bytes());
        nest(out, 3, |out| put(out, 1, value));
    });
}

fn expression(out: &mut Vec<u8>, kind: &str, fill: impl FnOnce(&mut Vec<u8>)) {
    nest(out, 1, |out| {
        name(out, 1, kind);
        nest(out, 2, fill);
    });
}

/// A message; `fill` writes its attributes.
fn header(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    resource: u16,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let mut body = Vec::new();
    fill(&mut body);
    let family = if resource == 0 { INET } else { 0 };
    let length = u32::try_from(20 + body.len()).unwrap_or(u32::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((flags | FLAG_REQUEST).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
    out.extend(body);
}

/// An attribute, filled up to a multiple of four bytes.
fn put(out: &mut Vec<u8>, attribute: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(attribute.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn name(out: &mut Vec<u8>, attribute: u16, text: &str) {
    put(out, attribute, &[text.as_bytes(), &[0]].concat());
}

fn nest(out: &mut Vec<u8>, attribute: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inside = Vec::new();
    fill(&mut inside);
    put(out, attribute | NESTED, &inside);
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_end_matches('\0')
        .to_owned()
}

/// The attributes that lie in `bytes`, without the flag of nested ones.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = bytes.get(4..length) else {
            break;
        };
        found.push((u16::from_ne_bytes([c, d]) & !NESTED, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The sequence number of the message that the kernel took.
fn acknowledged(payload: &[u8]) -> io::Result<u32> {
    let number = |at: usize| {
        payload
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
    };
    let code = number(0).map_or(0, i32::from_ne_bytes);
    if code != 0 {
        return Err(io::Error::from_raw_os_error(-code));
    }
    Ok(number(12).map_or(0, u32::from_ne_bytes))
}

/// Sends `request`, and hands every answer's kind and payload to `take` until it says that this was the last one.
fn exchange(
    request: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    sendto(
        &socket,
        request,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        let (_, length) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut answers = buffer.get(..length).unwrap_or_default();
        while let [a, b, c, d, e, f, ..] = *answers {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            let kind = u16::from_ne_bytes([e, f]);
            let Some(payload) = answers.get(16..length) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if kind == ERROR {
                acknowledged(payload)?;
            }
            if take(kind, payload)? {
                return Ok(());
            }
            answers = answers
                .get(length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_filled_up_to_four_bytes_and_found_again() {
        let mut bytes = Vec::new();
        put(&mut bytes, 2, &[3]);
        assert_eq!(bytes, [5, 0, 2, 0, 3, 0, 0, 0]);
        nest(&mut bytes, 4, |out| name(out, 1, "lo"));
        let found = attributes(&bytes);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (2, &[3u8][..]));
        assert_eq!(found[1].0, 4);
        assert_eq!(text(attributes(found[1].1)[0].1), "lo");
    }

    #[test]
    fn what_the_kernel_refused_is_an_error_and_what_it_took_is_a_sequence_number() {
        let mut refused = (-1i32).to_ne_bytes().to_vec();
        refused.resize(20, 0);
        assert_eq!(
            acknowledged(&refused).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        let mut taken = vec![0; 20];
        taken[12..16].copy_from_slice(&7u32.to_ne_bytes());
        assert_eq!(acknowledged(&taken).unwrap(), 7);
    }

    #[test]
    fn attributes_that_claim_to_be_longer_than_they_are_end_the_reading() {
        assert!(attributes(&[200, 0, 1, 0, 1, 2, 3, 4]).is_empty());
        assert!(attributes(&[0, 0, 1, 0, 1, 2, 3, 4]).is_empty());
    }
}

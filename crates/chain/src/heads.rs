//! New blocks as they come. A node that pushes them (`eth_subscribe` over a WebSocket at the node's own address) is listened to, which
//! costs it no request and us no delay; one that does not is asked in the rhythm of its blocks. A push says that there is a block: what
//! happened in it is read by those who are told. A line on which nothing comes is not trusted: the node is asked, and when it knows of
//! more than it pushed, the line is opened anew.

use std::{future::Future, pin::Pin, time::Duration};

use alloy_primitives::Bloom;
use futures_util::{SinkExt, StreamExt};
use poco::units::BlockNumber;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::{Block, FactFilter, Node, NodeError, node::read_block};

/// A line that is not open by then is given up.
const OPENING: Duration = Duration::from_secs(10);
/// Before a line is tried again that could not be opened: most nodes that do not push never will.
const REFUSED: Duration = Duration::from_secs(60);
/// Before a line is opened again that broke.
const BROKEN: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Opening = Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>;

/// A new block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The block.
    pub block: Block,
    /// It is the block that was told before, or the one on top of it. If not, blocks were missed or the chain was reorganised.
    pub follows: bool,
    /// What the header says about the logs in it.
    pub(crate) bloom: Option<Bloom>,
}

impl Head {
    /// Reads a header as nodes answer and push it.
    pub(crate) fn read(raw: &RawValue) -> Result<Option<Self>, NodeError> {
        Ok(read_block(raw)?.map(|block| Self {
            block,
            follows: false,
            bloom: bloom_in(raw),
        }))
    }

    /// Whether there may be logs of `filter` in the block. A header says "certainly not" or "perhaps".
    pub(crate) fn may_hold(&self, filter: &FactFilter) -> bool {
        self.bloom.is_none_or(|bloom| filter.shows_in(&bloom))
    }
}

/// What the header in `raw` says about the logs in its block; one that cannot be read like this says nothing.
pub(crate) fn bloom_in(raw: &RawValue) -> Option<Bloom> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "logsBloom")]
        bloom: Option<Bloom>,
    }
    serde_json::from_str(raw.get()).map_or(None, |header: Header| header.bloom)
}

/// Follows the newest block.
pub struct Heads {
    node: Node,
    /// Between two questions where nothing is pushed.
    rest: Duration,
    line: Line,
    /// When something was heard last; none before the first answer.
    heard: Option<Instant>,
    /// The newest block that was pushed on the open line.
    pushed: BlockNumber,
    /// The block that was told last.
    told: Option<Block>,
}

enum Line {
    Closed { until: Instant },
    Opening(Opening),
    Open(Box<Socket>),
}

impl Heads {
    /// Of `node`, whose blocks come about every `block_time`. Nothing is asked yet.
    #[must_use]
    pub fn new(node: Node, block_time: Duration) -> Self {
        Self {
            node,
            rest: block_time,
            line: Line::Closed {
                until: Instant::now(),
            },
            heard: None,
            pushed: BlockNumber(0),
            told: None,
        }
    }

    /// The newest block, as soon as there is a new one; the known one again where the node had to be asked and has none. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// When the node was asked and does not answer. The next call rests first.
    pub async fn next(&mut self) -> Result<Head, NodeError> {
        loop {
            // Two blocks that do not come are a reason to ask.
            let patience = match self.line {
                Line::Open(_) => self.rest * 2,
                Line::Closed { .. } | Line::Opening(_) => self.rest,
            };
            let due = self.heard.map_or_else(Instant::now, |at| at + patience);
            tokio::select! {
                pushed = self.line.listen(&self.node) => {
                    if let Some(head) = pushed {
                        self.heard = Some(Instant::now());
                        self.pushed = head.block.number;
                        return Ok(self.tell(head));
                    }
                }
                asked = ask_at(due, &self.node) => {
                    self.heard = Some(Instant::now());
                    let head = asked?;
                    self.judge_line(&head);
                    return Ok(self.tell(head));
                }
            }
        }
    }

    fn tell(&mut self, head: Head) -> Head {
        let block = head.block;
        let follows = self
            .told
            .is_some_and(|told| told.hash == block.hash || told.hash == block.parent);
        self.told = Some(block);
        Head { follows, ..head }
    }

    /// A line that kept a block to itself is opened anew.
    fn judge_line(&mut self, asked: &Head) {
        if matches!(self.line, Line::Open(_)) && asked.block.number > self.pushed {
            tracing::debug!(
                block = asked.block.number.0,
                "a block was not pushed; listening anew"
            );
            self.line = Line::Closed {
                until: Instant::now(),
            };
        }
    }
}

async fn ask_at(due: Instant, node: &Node) -> Result<Head, NodeError> {
    sleep_until(due).await;
    let raw: Box<RawValue> = node
        .request("eth_getBlockByNumber", json!(["latest", false]))
        .await?;
    Head::read(&raw)?.ok_or_else(|| NodeError::Missing {
        what: "latest block".to_owned(),
    })
}

impl Line {
    /// One step: opens the line, or waits for what comes on it.
    async fn listen(&mut self, node: &Node) -> Option<Head> {
        match self {
            Self::Closed { until } => {
                sleep_until(*until).await;
                *self = Self::Opening(Box::pin(open(node.clone())));
                None
            }
            Self::Opening(opening) => {
                *self = match opening.await {
                    Ok(socket) => Self::Open(Box::new(socket)),
                    Err(reason) => {
                        tracing::debug!(reason, "the node does not push new blocks; it is asked");
                        Self::Closed {
                            until: Instant::now() + REFUSED,
                        }
                    }
                };
                None
            }
            Self::Open(socket) => match socket.next().await {
                Some(Ok(Message::Text(text))) => head_in(&text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    *self = Self::Closed {
                        until: Instant::now() + BROKEN,
                    };
                    None
                }
                Some(Ok(_)) => None,
            },
        }
    }
}

/// Opens a line to the preferred node and asks it to push.
async fn open(node: Node) -> Result<Socket, String> {
    let url = node
        .socket_url()
        .await
        .ok_or_else(|| "it has no such address".to_owned())?;
    let opening = async {
        // Its words may hold the URL, and that a key.
        let (mut socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .map_err(|_| "it takes no WebSocket".to_owned())?;
        let ask =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
        let broke = |_| "the line broke".to_owned();
        socket
            .send(Message::text(ask.to_string()))
            .await
            .map_err(broke)?;
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message.map_err(broke)? {
                return granted(&text).map(|()| socket);
            }
        }
        Err("the line was closed".to_owned())
    };
    tokio::time::timeout(OPENING, opening)
        .await
        .unwrap_or_else(|_| Err("it does not answer".to_owned()))
}

fn granted(text: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<String>,
    }
    match serde_json::from_str(text) {
        Ok(Answer { result: Some(_) }) => Ok(()),
        _ => Err("it does not push blocks".to_owned()),
    }
}

/// The header in a push. What is none is passed over: the node is asked when nothing comes.
fn head_in(text: &str) -> Option<Head> {
    #[derive(Deserialize)]
    struct Push<'t> {
        #[serde(borrow)]
        params: Params<'t>,
    }
    #[derive(Deserialize)]
    struct Params<'t> {
        #[serde(borrow)]
        result: &'t RawValue,
    }
    let push: Push<'_> = serde_json::from_str(text).ok()?;
    Head::read(push.params.result).ok().flatten()
}

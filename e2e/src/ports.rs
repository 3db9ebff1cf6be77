//! Free ports for a world of its own. A port is asked from the system and let go at once, so that the program under test can take it, keep
//! it over a restart, and be found again.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

/// A TCP port on the loopback that nobody listened on a moment ago.
pub fn free() -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

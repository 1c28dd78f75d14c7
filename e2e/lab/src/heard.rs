//! Whether datagrams come by, told by counters instead of by waiting.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::count::counted;
use crate::echo::udp_socket;
use crate::namespace::{Namespace, nft};
use crate::wait::{LIMIT, wait_until};

/// Datagrams of a trial; when the last comes by, the first has come as far as it can.
const TRIALS: u64 = 5;

/// Counts what comes into a namespace for a UDP port, before any rule there can drop it.
#[derive(Debug)]
pub struct Heard<'a> {
    ns: &'a Namespace,
    table: String,
}

impl<'a> Heard<'a> {
    /// Counts from now on.
    pub fn new(ns: &'a Namespace, port: u16) -> Result<Self> {
        let table = format!("lab-heard-{port}");
        let chain = "type filter hook prerouting priority -1000";
        let rule = format!("udp dport {port} counter");
        nft(
            ns,
            &format!("table inet {table} {{ chain come {{ {chain}; {rule}; }}; }}"),
        )?;
        Ok(Self { ns, table })
    }

    /// The datagrams so far.
    pub fn count(&self) -> Result<u64> {
        counted(self.ns, &self.table)
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        let _ = nft(self.ns, &format!("delete table inet {}", self.table));
    }
}

/// Sends a datagram from `from`; what becomes of it is for others to say.
pub fn send_datagram(from: &Namespace, to: SocketAddr) -> Result<()> {
    let socket = from.run(|| udp_socket(to))??;
    let _ = socket.send_to(b"heard?", to);
    Ok(())
}

/// Fails unless datagrams from `from` to `to` come by at `on_the_way` and none of them at `end`.
pub fn assert_dropped(
    from: &Namespace,
    to: SocketAddr,
    on_the_way: &Namespace,
    end: &Namespace,
) -> Result<()> {
    let (near, far) = (
        Heard::new(on_the_way, to.port())?,
        Heard::new(end, to.port())?,
    );
    wait_until(LIMIT, &format!("datagrams to {to} come by"), || {
        send_datagram(from, to)?;
        Ok(near.count()? >= TRIALS)
    })?;
    let arrived = far.count()?;
    ensure!(arrived == 0, "{arrived} datagrams arrived at {to}");
    Ok(())
}

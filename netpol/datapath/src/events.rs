//! Reads what the programs tell.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use aya::maps::{MapData, PerCpuArray, RingBuf};

use fairlead_netpol_model::tables::{ClassId, SetId};

use crate::error::DatapathError;
use crate::event::{Event, Hook, Reason};
use crate::layout::Addr;
use crate::maps::MapName;

/// The reader of the ring of events: poll its descriptor, then take all.
pub struct Events {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl Events {
    pub(crate) fn open(home: &Path) -> Result<Self, DatapathError> {
        Ok(Self {
            ring: MapName::Events.open(home)?,
            lost: MapName::Lost.open(home)?,
        })
    }

    /// The next event; `None` when there is none now.
    #[expect(
        clippy::should_implement_trait,
        reason = "there may be more after `None`"
    )]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let item = self.ring.next()?;
            if let Some(event) = read(&item) {
                return Some(event);
            }
        }
    }

    /// How many events found the ring full since it was made.
    pub fn lost(&self) -> Result<u64, DatapathError> {
        let each = self.lost.get(&0, 0).map_err(MapName::Lost.failed("read"))?;
        Ok(each.iter().sum())
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> i32 {
        self.ring.as_raw_fd()
    }
}

/// Reads `struct event`; `None` when it is malformed or its numbers mean nothing.
fn read(bytes: &[u8]) -> Option<Event> {
    let mut rest = bytes;
    let time = u64::from_ne_bytes(take(&mut rest)?);
    let set = u64::from_ne_bytes(take(&mut rest)?);
    let class = u64::from_ne_bytes(take(&mut rest)?);
    Some(Event {
        time,
        set: (set != 0).then_some(SetId(set)),
        class: (class != 0).then_some(ClassId(class)),
        source: Addr(take(&mut rest)?).into(),
        destination: Addr(take(&mut rest)?).into(),
        source_port: u16::from_be_bytes(take(&mut rest)?),
        destination_port: u16::from_be_bytes(take(&mut rest)?),
        interface: u32::from_ne_bytes(take(&mut rest)?),
        endpoint: u32::from_ne_bytes(take(&mut rest)?),
        protocol: byte(&mut rest)?,
        reason: Reason::from_number(byte(&mut rest)?)?,
        hook: Hook::from_number(byte(&mut rest)?)?,
        port_class: byte(&mut rest)?,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    take::<1>(rest).map(|[byte]| byte)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn an_event_is_read_field_by_field() {
        let [from, to]: [IpAddr; 2] = ["10.0.0.1", "fd00::2"].map(|ip| ip.parse().unwrap());
        let mut bytes = Vec::new();
        for number in [5_u64, 6, 0] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(Addr::from(from).0);
        bytes.extend(Addr::from(to).0);
        bytes.extend([0x12, 0x34, 0, 80]);
        bytes.extend(3_u32.to_ne_bytes());
        bytes.extend(4_u32.to_ne_bytes());
        bytes.extend([6, 1, 2, 9]);
        let expected = Event {
            time: 5,
            set: Some(SetId(6)),
            class: None,
            source: from,
            destination: to,
            source_port: 0x1234,
            destination_port: 80,
            protocol: 6,
            hook: Hook::ToWire,
            interface: 3,
            endpoint: 4,
            reason: Reason::Ingress,
            port_class: 9,
        };
        assert_eq!(read(&bytes), Some(expected));
        assert_eq!(bytes.len(), size_of::<crate::layout::Event>());
        assert_eq!(read(&bytes[..70]), None);
    }
}

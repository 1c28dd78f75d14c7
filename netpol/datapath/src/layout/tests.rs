use std::collections::BTreeMap;
use std::mem::offset_of;

use super::*;
use crate::event::{Hook, Reason};

#[test]
fn addresses_of_both_families_come_back() {
    for ip in ["10.1.2.3", "fd00::7", "::"] {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(IpAddr::from(Addr::from(ip)), ip);
    }
}

fn said_in_c() -> BTreeMap<String, u64> {
    const NAME: usize = 48;
    const RECORD: usize = NAME + 8;
    let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/layout.bin"));
    assert!(
        !bytes.is_empty(),
        "clang-14 was missing when this was built"
    );
    bytes
        .chunks_exact(RECORD)
        .map(|record| {
            let (name, value) = record.split_at(NAME);
            let name = String::from_utf8_lossy(name);
            (
                name.trim_end_matches('\0').to_owned(),
                u64::from_ne_bytes(value.try_into().unwrap()),
            )
        })
        .collect()
}

/// The size of each struct and the offset of each field, by the names that C has for them; `+ 4` for the length that
/// keys of tries begin with and that aya adds.
macro_rules! fields {
    ($said:ident, $($c:ident: $rust:ident + $shift:literal { $($field:ident),* })+) => {$(
        $said.insert(stringify!($c).to_owned(), size_of::<$rust>() + $shift);
        $($said.insert(
            concat!(stringify!($c), ".", stringify!($field)).to_owned(),
            offset_of!($rust, $field) + $shift,
        );)*
    )+};
}

macro_rules! numbers {
    ($said:ident, $($name:ident)+) => {
        $($said.insert(stringify!($name).to_owned(), usize::try_from($name).unwrap());)+
    };
}

fn said_in_rust() -> BTreeMap<String, u64> {
    let mut said = BTreeMap::new();
    fields! {said,
        addr: Addr + 0 {}
        page: Page + 0 {}
        direction: Direction + 0 { set, any, ports, next, flags, rest }
        endpoint: Endpoint + 0 { ingress, egress, ip4, ip6, grace_until, flags, slot }
        address: Address + 0 { class, ifindex, pod_mac, host_mac }
        cell_key: CellKey + 0 { set, class }
        page_key: PageKey + 0 { ports, protocol, high }
        prefix_key: PrefixKey + 4 { family, set, address }
        source_key: SourceKey + 4 { ifindex, family, address }
        flow_key: FlowKey + 0 { local, remote, ifindex, local_port, remote_port, protocol }
        flow: Flow + 0 { seen, opener, state, fins, from, local, judged }
        fragment_key: FragmentKey + 0 { source, destination, ifindex, id, protocol }
        fragment: Fragment + 0 { source_port, destination_port, protocol, kind }
        settings: Settings + 0 { flags, sample }
        verdict_key: VerdictKey + 0 { set, class, port_class, reason }
        event: Event + 0 {
            time, set, class, source, destination, source_port, destination_port, ifindex, endpoint, protocol,
            reason, hook, port_class
        }
    }
    numbers! {said,
        DIRECTION_CELLS DIRECTION_PREFIXES
        ENDPOINT_CHECK_SOURCE ENDPOINT_BRIDGED ENDPOINT_BRIDGE ENDPOINT_NO_SHORTCUT
        SETTING_SHORTCUT FROM_NODE FROM_UNKNOWN SIDE_REMOTE SIDE_POD
        FLOW_OPENED FLOW_ANSWERED FLOW_ESTABLISHED FLOW_CLOSING
        CARRY_REPLY CARRY_DIRECT CARRY_NEW CARRY_SLOT
    }
    for reason in Reason::ALL {
        said.insert(in_c("REASON_", &format!("{reason:?}")), *reason as usize);
    }
    for hook in Hook::ALL {
        said.insert(in_c("HOOK_", &format!("{hook:?}")), *hook as usize);
    }
    said.insert("REASONS".to_owned(), Reason::ALL.len());
    said.insert("HOOKS".to_owned(), Hook::ALL.len());
    said.into_iter()
        .map(|(name, value)| (name, u64::try_from(value).unwrap()))
        .collect()
}

/// `IcmpError` as C has it: `REASON_ICMP_ERROR`.
fn in_c(prefix: &str, name: &str) -> String {
    let mut spelt = prefix.to_owned();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            spelt.push('_');
        }
        spelt.push(letter.to_ascii_uppercase());
    }
    spelt
}

#[test]
fn rust_and_c_agree_on_every_size_offset_and_number() {
    assert_eq!(said_in_rust(), said_in_c());
}

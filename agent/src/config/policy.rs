//! `policy`: enforcement of `NetworkPolicy`.

use std::time::Duration;

use fairlead_cni_node::policy::OnAgentAway;
use fairlead_netpol_datapath::Sizes;

use super::check::{Checked, bad, duration, path};
use super::raw;

/// `policy`, while it is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `onAgentAway`: what the plugin does when no agent answers.
    pub on_agent_away: OnAgentAway,
    /// `checkSources`: pods send from their own addresses and those that they may have beside.
    pub check_sources: bool,
    /// `shortcut`: packets between routed pods of one node may skip its network stack.
    pub shortcut: bool,
    /// `sampleFlows`: of flows that are allowed one in so many is told; 0: none.
    pub sample_flows: u32,
    /// `startTimeout`: how long a pod's start waits for the pod to be known.
    pub start_timeout: Duration,
    /// `bpfDir` and `maps`.
    pub datapath: fairlead_netpol_datapath::Config,
}

/// The longest `startTimeout`: runtimes give the whole start of a pod a few minutes.
const LONGEST_START: Duration = Duration::from_mins(1);

/// What a map may be large.
const ENTRIES: std::ops::RangeInclusive<i64> = 1..=1 << 26;

/// What the buffer of events may be large, in bytes: a page at least.
const BYTES: std::ops::RangeInclusive<i64> = 4096..=1 << 30;

pub(super) fn policy(raw: raw::Policy) -> Checked<Option<Policy>> {
    let Ok(sample_flows) = u32::try_from(raw.sample_flows) else {
        let expected = "0 (none) to 4294967295";
        return bad("policy.sampleFlows", raw.sample_flows, expected);
    };
    let start_timeout = duration("policy.startTimeout", &raw.start_timeout.0)?;
    if start_timeout > LONGEST_START {
        let expected = "a period up to 1m";
        return bad("policy.startTimeout", raw.start_timeout.0, expected);
    }
    let checked = Policy {
        on_agent_away: raw.on_agent_away,
        check_sources: raw.check_sources,
        shortcut: raw.shortcut,
        sample_flows,
        start_timeout,
        datapath: fairlead_netpol_datapath::Config {
            dir: path("policy.bpfDir", raw.bpf_dir)?,
            sizes: sizes(&raw.maps)?,
        },
    };
    Ok(raw.enabled.then_some(checked))
}

fn sizes(raw: &raw::Maps) -> Checked<Sizes> {
    let standard = Sizes::default();
    let size = |key, value: Option<i64>, standard| match value {
        None => Ok(standard),
        Some(value) => match u32::try_from(value)
            .ok()
            .filter(|_| ENTRIES.contains(&value))
        {
            Some(entries) => Ok(entries),
            None => bad(key, value, "1 to 67108864"),
        },
    };
    let events = match raw.events.map(|value| (value, u32::try_from(value))) {
        None => standard.events,
        Some((value, Ok(bytes))) if bytes.is_power_of_two() && BYTES.contains(&value) => bytes,
        Some((value, _)) => {
            let expected = "a power of two from 4096 to 1073741824";
            return bad("policy.maps.events", value, expected);
        }
    };
    Ok(Sizes {
        flows: size("policy.maps.flows", raw.flows, standard.flows)?,
        new_flows: size("policy.maps.newFlows", raw.new_flows, standard.new_flows)?,
        addresses: size("policy.maps.addresses", raw.addresses, standard.addresses)?,
        cells: size("policy.maps.cells", raw.cells, standard.cells)?,
        prefixes: size("policy.maps.prefixes", raw.prefixes, standard.prefixes)?,
        ports: size("policy.maps.ports", raw.ports, standard.ports)?,
        sets: size("policy.maps.sets", raw.sets, standard.sets)?,
        endpoints: size("policy.maps.endpoints", raw.endpoints, standard.endpoints)?,
        fragments: size("policy.maps.fragments", raw.fragments, standard.fragments)?,
        events,
    })
}

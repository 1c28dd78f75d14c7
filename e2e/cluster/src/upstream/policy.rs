//! Upstream's tests of `NetworkPolicy`: a chosen dozen, or all that this kernel can run.
//!
//! Each makes nine pods in three namespaces and has every pod call every other through a Service, so a dozen
//! tests are thousands of calls. They carry `[Feature:NetworkPolicy]`, not `[Conformance]`.

use anyhow::{Result, ensure};

use super::skipped::Skipped;
use super::{Selection, report, run, skipped};
use crate::plan::Cluster;
use crate::progress::Progress;

/// What every one of their names has, but not those of the mere API.
const ALL: &str = r"\[sig-network\] Netpol .*\[Feature:NetworkPolicy\]";

/// One of each kind: defaults, selectors, ports, names, addresses, changes, both directions, UDP.
const CHOSEN: [&str; 12] = [
    "should support a 'default-deny-all' policy",
    "should enforce policy based on NamespaceSelector with MatchExpressions [Feature:NetworkPolicy]",
    "should enforce policy based on Multiple PodSelectors and NamespaceSelectors",
    "should allow ingress access on one named port",
    "should enforce egress policy allowing traffic to a server in a different namespace",
    "should enforce except clause while egress access to server in CIDR block",
    "should allow ingress access from updated pod",
    "should stop enforcing policies after they are deleted",
    "should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is allowed",
    "should enforce policies to check ingress and egress policies can be controlled independently",
    "should not mistakenly treat 'protocol: SCTP' as 'protocol: TCP'",
    "using UDP should enforce policy based on Ports",
];

/// All but those that need a socket that this kernel has not.
const LEFT_OUT: [Skipped; 1] = [(
    "[Feature:SCTPConnectivity]",
    "the kernel has no SCTP sockets; SCTP packets are tested through the programs themselves",
)];

/// Tests that remain.
const REMAIN: usize = 45;

/// Runs them; fails when one does, or when there are not as many as there should be.
pub(crate) fn tests(cluster: &Cluster, all: bool, procs: u8, progress: &Progress) -> Result<()> {
    let chosen: Vec<_> = CHOSEN.iter().map(|name| skipped::escaped(name)).collect();
    let (focus, count) = if all {
        (ALL.to_owned(), REMAIN)
    } else {
        let focus = format!(r"\[sig-network\] Netpol .*({})", chosen.join("|"));
        (focus, CHOSEN.len())
    };
    let selection = Selection {
        focus,
        skip: skipped::pattern(&LEFT_OUT),
        procs,
    };
    let outcomes = run(cluster, &selection, progress)?;
    report::print(&outcomes, if all { &LEFT_OUT } else { &[] });
    super::judge(&outcomes)?;
    ensure!(
        outcomes.len() == count,
        "{} tests ran instead of {count}: compare the names in `e2e.test --list-tests`",
        outcomes.len()
    );
    Ok(())
}

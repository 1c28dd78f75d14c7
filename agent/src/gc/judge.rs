//! Which leases are to be removed: the pure part.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use fairlead_ipam::{Lease, Netns, Presence};

/// Leases that looked abandoned in the last pass, by address and sequence number.
#[derive(Debug, Default)]
pub struct Suspects(BTreeSet<(std::net::IpAddr, u64)>);

impl Suspects {
    /// Whether the last pass saw none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Judges `leases`, taken before `sandboxes` were listed, and returns those to remove: no
    /// sandbox, at least `min_age` old, namespace gone, now and in the pass before.
    ///
    /// A lease without a namespace cannot be confirmed and stays.
    pub fn judge(
        &mut self,
        leases: Vec<Lease>,
        sandboxes: &BTreeSet<String>,
        presence: impl Fn(&Netns) -> Presence,
        now: SystemTime,
        min_age: Duration,
    ) -> Vec<Lease> {
        let abandoned = |lease: &Lease| {
            let old = now
                .duration_since(lease.since)
                .is_ok_and(|age| age >= min_age);
            let gone = lease
                .netns
                .as_ref()
                .is_some_and(|n| presence(n) == Presence::Gone);
            old && gone && !sandboxes.contains(lease.owner.container())
        };
        let before = std::mem::take(&mut self.0);
        let mut remove = Vec::new();
        for lease in leases.into_iter().filter(abandoned) {
            let key = (lease.address, lease.seq);
            if before.contains(&key) {
                remove.push(lease);
            } else {
                self.0.insert(key);
            }
        }
        remove
    }
}

#[cfg(test)]
mod tests {
    use fairlead_ipam::Owner;

    use super::*;

    const MIN_AGE: Duration = Duration::from_mins(5);

    fn lease(container: &str, age: u64, path: Option<&str>) -> Lease {
        Lease {
            address: "10.244.1.2".parse().unwrap(),
            owner: Owner::new(container, "eth0").unwrap(),
            netns: path.map(|path| Netns {
                path: path.into(),
                dev: 4,
                inode: 1,
            }),
            since: now() - Duration::from_secs(age),
            seq: 1,
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn judge(suspects: &mut Suspects, lease: &Lease) -> usize {
        let presence = |netns: &Netns| match netns.path.to_str() {
            Some("/gone") => Presence::Gone,
            Some("/here") => Presence::Here,
            _ => Presence::Unknown,
        };
        let sandboxes = BTreeSet::from(["alive".to_owned()]);
        suspects
            .judge(vec![lease.clone()], &sandboxes, presence, now(), MIN_AGE)
            .len()
    }

    #[test]
    fn an_abandoned_lease_goes_in_the_second_pass() {
        let mut suspects = Suspects::default();
        let lease = lease("dead", 300, Some("/gone"));
        assert_eq!(judge(&mut suspects, &lease), 0);
        assert!(!suspects.is_empty());
        assert_eq!(judge(&mut suspects, &lease), 1);
        assert!(suspects.is_empty());
    }

    #[test]
    fn whatever_speaks_for_a_lease_keeps_it() {
        for lease in [
            lease("alive", 300, Some("/gone")),
            lease("dead", 299, Some("/gone")),
            lease("dead", 300, Some("/here")),
            lease("dead", 300, Some("/odd")),
            lease("dead", 300, None),
        ] {
            let mut suspects = Suspects::default();
            for _ in 0..3 {
                assert_eq!(judge(&mut suspects, &lease), 0, "{lease:?}");
            }
        }
    }

    #[test]
    fn a_lease_that_was_seen_alive_in_between_starts_anew() {
        let mut suspects = Suspects::default();
        let gone = lease("dead", 300, Some("/gone"));
        judge(&mut suspects, &gone);
        judge(&mut suspects, &lease("dead", 300, Some("/here")));
        assert_eq!(judge(&mut suspects, &gone), 0);
        let reused = Lease { seq: 2, ..gone };
        assert_eq!(
            judge(&mut suspects, &reused),
            0,
            "another lease of the same address"
        );
    }

    #[test]
    fn a_clock_that_went_back_removes_nothing() {
        let mut suspects = Suspects::default();
        let mut lease = lease("dead", 0, Some("/gone"));
        lease.since = now() + Duration::from_secs(1);
        assert_eq!(
            (judge(&mut suspects, &lease), judge(&mut suspects, &lease)),
            (0, 0)
        );
    }
}

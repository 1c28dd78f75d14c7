//! The agent comes and goes; pods do not notice, and the kernel is not touched.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Agent, Families, Flow, LIMIT, Pod, Snapshot, wait_mesh, wait_reach};

use crate::cluster::{AGENT, Cluster, name, plugin, subnets};
use crate::paths::pods;
use crate::quiet::Watch;

/// Packets that pass before, between and after what happens.
const SOME: u64 = 2_000;

/// How often a run may be repeated because its control, to which nothing happened, lost packets too.
pub(crate) const RUNS: usize = 5;

/// Two nodes to which something happens, `n0` and `n2`, and two to which nothing does, each with a pod.
struct Stage {
    cluster: Cluster,
    agents: Vec<Agent>,
    pods: Vec<Pod>,
}

impl Stage {
    fn new() -> Result<Self> {
        let four = subnets([2, 2], [1500, 1500]);
        let (cluster, agents) = Cluster::ready(Families::Dual, &four, "")?;
        let pods = pods(&cluster)?;
        wait_mesh(&pods)?;
        Ok(Self {
            cluster,
            agents,
            pods,
        })
    }

    /// Runs `event` with `n0`'s agent under a flow from and one to its pod, with a control beside: the
    /// flows lose nothing and the kernel's tables are not touched.
    fn nothing_lost(
        &mut self,
        family: Family,
        event: impl Fn(&Cluster, Agent) -> Result<Agent>,
    ) -> Result<()> {
        for _ in 0..RUNS {
            let pods = &self.pods;
            let flow = |from: usize, to: usize| {
                wait_reach(&pods[from].ns, pods[to].service(family)?)?;
                Flow::start(&pods[from].ns, &pods[to].ns, pods[to].ip(family)?, 5001)
            };
            let (there, back, control) = (flow(0, 2)?, flow(2, 0)?, flow(1, 3)?);
            for flow in [&there, &back, &control] {
                flow.wait_arrived(SOME, LIMIT)?;
            }
            let before = Snapshot::of(self.cluster.ns(0))?;
            let mut watch = Watch::new(self.cluster.ns(0))?;
            let agent = event(&self.cluster, self.agents.remove(0))?;
            agent.wait_ready()?;
            for flow in [&there, &back, &control] {
                flow.wait_arrived(SOME, LIMIT)?;
            }
            let writes = agent.metric("fairlead_writes_total")?;
            let files = agent.metric("fairlead_writes_total{object=\"file\"}")?;
            assert_eq!(writes - files, 0, "{}", agent.metrics()?);
            assert_eq!(watch.changes()?, Vec::<String>::new());
            assert_eq!(before.diff(&Snapshot::of(self.cluster.ns(0))?), "");
            self.agents.insert(0, agent);
            let (there, back, control) = (there.finish()?, back.finish()?, control.finish()?);
            if there.lost() + back.lost() == 0 {
                return Ok(());
            }
            ensure!(
                control.lost() > 0,
                "lost: {there:?} {back:?}, not {control:?}"
            );
        }
        anyhow::bail!("this machine loses packets of its own: {RUNS} controls lost some")
    }
}

#[test]
fn killing_the_agent_and_starting_it_again_loses_nothing() -> Result<()> {
    let mut stage = Stage::new()?;
    for family in Family::ALL {
        stage.nothing_lost(family, |cluster, agent| {
            agent.kill()?;
            cluster.start(0, "")
        })?;
    }
    Ok(())
}

#[test]
fn restarting_the_agent_loses_nothing() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.nothing_lost(Family::V4, |cluster, agent| {
        agent.terminate()?;
        cluster.start(0, "")
    })
}

#[test]
fn upgrading_agent_and_plugin_loses_nothing() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.nothing_lost(Family::V6, |cluster, agent| {
        agent.terminate()?;
        // New files with the same contents, as another image brings them.
        let copy = |from: PathBuf, to: &str| {
            let to = cluster.path(0, to);
            std::fs::copy(from, &to)?;
            anyhow::Ok(to)
        };
        let program = copy(AGENT.into(), "new-agent")?;
        let new = copy(plugin().into(), "new-plugin")?;
        std::fs::File::options()
            .append(true)
            .open(&new)
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"newer"))?;
        let old = plugin().display().to_string();
        let text = std::fs::read_to_string(cluster.config(0))?;
        let text = text.replace(&old, &new.display().to_string());
        std::fs::write(cluster.config(0), text)?;
        cluster.run(0, &program)
    })?;
    let installed = std::fs::read(stage.cluster.path(0, "opt/cni/bin/fairlead-vxlan"))?;
    assert!(installed.ends_with(b"newer"));
    Ok(())
}

#[test]
fn a_comparison_that_finds_nothing_writes_nothing() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.agents.remove(0).terminate()?;
    stage.cluster.configure(0, "network: {mode: vxlan}\n")?;
    let path = stage.cluster.config(0);
    let text = std::fs::read_to_string(&path)?.replace("resyncPeriod: 1h", "resyncPeriod: 50ms");
    std::fs::write(&path, text)?;
    let mut watch = Watch::new(stage.cluster.ns(0))?;
    let agent = stage.cluster.run(0, AGENT.as_ref())?;
    agent.wait("ten passes", || {
        Ok(agent
            .metric("fairlead_resyncs_total{reason=\"timer\"}")
            .is_ok_and(|passes| passes >= 10))
    })?;
    assert_eq!(agent.writes()?, 0, "{}", agent.metrics()?);
    assert_eq!(watch.changes()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn what_changed_while_the_agent_was_down_is_made_up_for() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.agents.remove(0).kill()?;
    // n2 leaves, and a new node joins.
    stage.cluster.objects.remove(&name(2))?;
    let joined = stage.cluster.net.add_node(1, 1500)?;
    stage.cluster.tell(joined)?;
    let other = stage.cluster.start(joined, "")?;
    other.wait_ready()?;
    let pod = stage.cluster.pod(joined, "joined")?;
    let agent = stage.cluster.start(0, "")?;
    agent.wait_ready()?;
    wait_mesh(&[&stage.pods[0], &pod])?;
    wait_mesh(&[&stage.pods[0], &stage.pods[3]])?;
    let gone = stage.cluster.host(2).addresses();
    let mut netlink = stage.cluster.ns(0).netlink()?;
    let left = netlink
        .fdb(None)?
        .into_iter()
        .find(|entry| entry.destination.is_some_and(|to| gone.contains(&to)));
    assert_eq!(left, None);
    for family in Family::ALL {
        let routes = netlink.routes(family)?;
        let left = routes.iter().find(|r| {
            let text = r.to_string();
            text.contains("10.244.2.0/24") || text.contains("fd00:244:2::/64")
        });
        assert!(left.is_none(), "{left:?}");
    }
    Ok(())
}

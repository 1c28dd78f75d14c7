//! A node of nothing but devices, and packets on their way through its hooks.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{HashMap, Map, MapData};
use aya::programs::{ProgramFd, SchedClassifier, SocketFilter};
use aya::{Ebpf, EbpfLoader, Pod};
use fairlead_e2e_lab::Namespace;
use fairlead_netpol_datapath::layout::{self, FlowKey, Fragment, FragmentKey};
use fairlead_netpol_datapath::{Config, MapName, home, object};
use fairlead_netpol_model::tables::IfIndex;

use crate::kernel::{self, Place};
use crate::packet::Packet;

/// Pods' host ends have numbers from 2 to this: a test run wants devices that exist.
pub(crate) const LAST_POD: IfIndex = 129;
/// The bridge that bridged pods are ports of.
pub(crate) const BRIDGE: IfIndex = 130;
/// The way to other nodes.
const WIRE: IfIndex = 131;

/// Answers of a classifier.
const PASS: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;

/// What a pod may have written into the mark, and into what the programs carry: nothing of it must count.
const FORGED: u32 = 0xffff;

/// Makes the devices.
pub(crate) fn devices(ns: &Namespace) -> Result<()> {
    let mut links = String::new();
    for n in (2..=WIRE).step_by(2) {
        let peer = n + 1;
        writeln!(
            links,
            "link add v{n} index {n} type veth peer name v{peer} index {peer}"
        )?;
    }
    let file = ns.path().with_file_name("links");
    std::fs::write(&file, links)?;
    let path = file.to_str().context("a path in UTF-8")?;
    ns.output("ip", &["-batch", path]).map(drop)
}

/// One end of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A pod of this node.
    Pod { index: IfIndex, bridged: bool },
    /// The node itself.
    Node,
    /// Anywhere else.
    Beyond,
}

impl End {
    /// The pod's host end.
    pub(crate) fn index(self) -> Option<IfIndex> {
        match self {
            Self::Pod { index, .. } => Some(index),
            Self::Node | Self::Beyond => None,
        }
    }
}

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: End,
    pub(crate) to: End,
}

impl Way {
    pub(crate) fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

/// The programs, loaded once more: so that they carry in the mark, which a test run can set.
pub(crate) struct Programs {
    _object: Ebpf,
    from_pod: ProgramFd,
    to_pod: ProgramFd,
    to_wire: ProgramFd,
    to_node: ProgramFd,
    frame: Vec<u8>,
    flows: [HashMap<MapData, FlowKey, layout::Flow>; 2],
    fragments: HashMap<MapData, FragmentKey, Fragment>,
    /// Packets that took the shortcut.
    pub(crate) shortcuts: u64,
    /// Whether the last packet was refused where it was sent.
    pub(crate) refused_at_once: bool,
}

impl Programs {
    /// On the maps of the data path of this configuration.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        object::carry_in_mark(&mut loader);
        let home = home(&config.dir);
        for map in MapName::ALL {
            loader.map_pin_path(map.name(), home.join(map.name()));
        }
        let mut object = loader.load(object::bytes()?)?;
        let mut classifier = |name| -> Result<ProgramFd> {
            let program = object.program_mut(name).context(name)?;
            let program: &mut SchedClassifier = program.try_into()?;
            program.load()?;
            Ok(program.fd()?.try_clone()?)
        };
        let from_pod = classifier(object::FROM_POD)?;
        let to_pod = classifier(object::TO_POD)?;
        let to_wire = classifier(object::TO_WIRE)?;
        let program = object.program_mut(object::TO_NODE).context("to_node")?;
        let program: &mut SocketFilter = program.try_into()?;
        program.load()?;
        let to_node = program.fd()?.try_clone()?;
        Ok(Self {
            _object: object,
            from_pod,
            to_pod,
            to_wire,
            to_node,
            frame: Vec::with_capacity(256),
            flows: [
                open(&home.join(MapName::FlowsNew.name()))?,
                open(&home.join(MapName::Flows.name()))?,
            ],
            fragments: open(&home.join(MapName::Fragments.name()))?,
            shortcuts: 0,
            refused_at_once: false,
        })
    }

    /// Forgets all flows and fragments: the next cluster uses the same addresses and ports.
    pub(crate) fn forget_flows(&mut self) -> Result<()> {
        for flows in &mut self.flows {
            let keys: Vec<FlowKey> = flows.keys().collect::<Result<_, _>>()?;
            keys.iter().try_for_each(|key| flows.remove(key))?;
        }
        let keys: Vec<FragmentKey> = self.fragments.keys().collect::<Result<_, _>>()?;
        keys.iter().try_for_each(|key| self.fragments.remove(key))?;
        Ok(())
    }

    /// Whether a packet arrives: as it is sent, and as NAT has made it when it leaves the node's stack.
    pub(crate) fn pass(&mut self, way: Way, sent: Packet, arrives: Packet) -> Result<bool> {
        let frame = &mut self.frame;
        sent.write(frame);
        let departed = departs(self.from_pod.as_fd(), way, frame)?;
        self.refused_at_once = departed.is_none();
        let Some(carried) = departed else {
            return Ok(false);
        };
        let Carried::On(mark) = carried else {
            self.shortcuts += 1;
            ensure!(sent == arrives, "the shortcut of a packet that NAT changes");
            return Ok(true);
        };
        arrives.write(frame);
        self.arrives(way, mark)
    }

    /// The same of an ICMP error that `reporter` sends about a packet.
    pub(crate) fn pass_error(
        &mut self,
        way: Way,
        reporter: std::net::IpAddr,
        about: Packet,
    ) -> Result<bool> {
        about.write_error(reporter, &mut self.frame);
        match departs(self.from_pod.as_fd(), way, &self.frame)? {
            None => Ok(false),
            Some(Carried::Over) => Ok(true),
            Some(Carried::On(mark)) => self.arrives(way, mark),
        }
    }

    fn arrives(&self, way: Way, mark: u32) -> Result<bool> {
        let ingress = ingress(way);
        let at = |ifindex| Place {
            ifindex,
            ingress,
            mark,
        };
        match way.to {
            End::Pod { index, .. } => allowed(self.to_pod.as_fd(), at(index), &self.frame),
            End::Beyond => allowed(self.to_wire.as_fd(), at(WIRE), &self.frame),
            End::Node => {
                let answer = kernel::run(self.to_node.as_fd(), at(ingress.max(2)), &self.frame)?;
                Ok(answer.code == 0)
            }
        }
    }
}

fn open<K: Pod, V: Pod>(pin: &Path) -> Result<HashMap<MapData, K, V>> {
    let map = Map::from_map_data(MapData::from_pin(pin)?)?;
    Ok(map.try_into()?)
}

/// What the first hook makes of a packet that may go on.
enum Carried {
    /// To the next hook, with this mark.
    On(u32),
    /// To the receiver, by the shortcut.
    Over,
}

fn departs(program: BorrowedFd<'_>, way: Way, frame: &[u8]) -> Result<Option<Carried>> {
    let End::Pod { index, .. } = way.from else {
        return Ok(Some(Carried::On(0)));
    };
    let place = Place {
        ifindex: index,
        ingress: index,
        mark: FORGED,
    };
    let answer = kernel::run(program, place, frame)?;
    match answer.code {
        PASS => Ok(Some(Carried::On(answer.mark))),
        DROP => Ok(None),
        REDIRECT => Ok(Some(Carried::Over)),
        code => bail!("from_pod answers {code}"),
    }
}

/// By which device the packet came to the node's stack.
fn ingress(way: Way) -> IfIndex {
    let to_port = matches!(way.to, End::Pod { bridged: true, .. });
    match way.from {
        End::Pod { bridged: true, .. } if !to_port => BRIDGE,
        End::Pod { index, .. } => index,
        End::Node => 0,
        End::Beyond => WIRE,
    }
}

fn allowed(program: BorrowedFd<'_>, place: Place, frame: &[u8]) -> Result<bool> {
    match kernel::run(program, place, frame)?.code {
        PASS => Ok(true),
        DROP => Ok(false),
        code => bail!("at {place:?} the program answers {code}"),
    }
}

//! A node of a few devices, the programs, and their maps.

use std::net::IpAddr;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::{SchedClassifier, SocketFilter, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader, Pod};
use fairlead_e2e_lab::Namespace;
use fairlead_netpol_datapath::layout::{
    Addr, Address, CellKey, Direction, Endpoint, Event, Flow, FlowKey, Page, PageKey, PrefixKey,
    Settings, SourceKey, VerdictKey,
};
use fairlead_netpol_datapath::{Hook, Reason, object};
use ipnetwork::IpNetwork;

/// Devices, which test runs want to exist. Pods' host ends, in pairs; the bridge; the way out.
pub(crate) const A: u32 = 2;
pub(crate) const B: u32 = 3;
pub(crate) const C: u32 = 4;
pub(crate) const BRIDGE: u32 = 5;
pub(crate) const WIRE: u32 = 6;
/// Who is not behind any device: the node itself.
pub(crate) const NODE: u32 = 0;
/// Where flows that go from host end to host end are kept.
pub(crate) const PAIR: u32 = 0;

/// `TC_ACT_UNSPEC`, `TC_ACT_SHOT`, `TC_ACT_REDIRECT`.
pub(crate) const PASS: i32 = -1;
pub(crate) const DROP: i32 = 2;
pub(crate) const REDIRECT: i32 = 7;

/// How far the programs' clock is ahead, in nanoseconds.
const WEEKS: u64 = 14 * 86_400 * 1_000_000_000;

/// Every port class.
pub(crate) const ALL: u64 = u64::MAX;

/// What a program answered, and what the packet carries afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) carried: u32,
}

pub(crate) struct Node {
    bpf: Ebpf,
    /// Each packet is judged by what the maps say when it is sent, as if all of it had just changed.
    pub(crate) changing: bool,
    generation: u32,
    _ns: Namespace,
}

/// Pod `n`'s addresses.
pub(crate) fn v4(n: u32) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()])
}

pub(crate) fn v6(n: u32) -> IpAddr {
    format!("fd00::{n}").parse().unwrap()
}

/// Not isolated.
pub(crate) const OPEN: Direction = Direction {
    set: 0,
    any: 0,
    ports: 0,
    next: 0,
    flags: 0,
    rest: [0; 4],
};

/// Isolated, and nothing is allowed.
pub(crate) const DENY: Direction = Direction { set: 1, ..OPEN };

/// A set with cells and prefixes.
pub(crate) fn set(id: u64) -> Direction {
    Direction {
        set: id,
        flags: 3,
        ..OPEN
    }
}

/// The class that [`Node::pod`] gives the addresses of pod `n`.
pub(crate) fn class(n: u32) -> u64 {
    100 + u64::from(n)
}

impl Node {
    pub(crate) fn new() -> Self {
        let ns = Namespace::new("node").unwrap();
        for n in [A, C, WIRE] {
            let (name, peer) = (format!("v{n}"), format!("v{}", n + 1));
            let (index, other) = (n.to_string(), (n + 1).to_string());
            let link = [
                "link", "add", &name, "index", &index, "type", "veth", "peer", "name", &peer,
            ];
            ns.output("ip", &[&link[..], &["index", &other]].concat())
                .unwrap();
        }
        ns.netns().enter().unwrap();
        let mut loader = EbpfLoader::new();
        object::carry_in_mark(&mut loader);
        object::clock_ahead(&mut loader, &WEEKS);
        for (map, entries) in [
            ("addresses", 1024),
            ("cells", 1024),
            ("flows", 1024),
            ("flows_new", 1024),
            ("fragments", 256),
            ("events", 4096),
        ] {
            loader.map_max_entries(map, entries);
        }
        let mut bpf = loader.load(object::bytes().unwrap()).unwrap();
        for name in [object::FROM_POD, object::TO_POD, object::TO_WIRE] {
            let program: &mut SchedClassifier = bpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        let program: &mut SocketFilter = bpf
            .program_mut(object::TO_NODE)
            .unwrap()
            .try_into()
            .unwrap();
        program.load().unwrap();
        Self {
            bpf,
            changing: true,
            generation: 0,
            _ns: ns,
        }
    }

    pub(crate) fn bpf(&self) -> &Ebpf {
        &self.bpf
    }

    pub(crate) fn hash<K: Pod, V: Pod>(&mut self, map: &str) -> HashMap<&mut MapData, K, V> {
        self.bpf.map_mut(map).unwrap().try_into().unwrap()
    }

    fn trie<K: Pod, V: Pod>(&mut self, map: &str) -> LpmTrie<&mut MapData, K, V> {
        self.bpf.map_mut(map).unwrap().try_into().unwrap()
    }

    /// A routed pod with addresses of both families, known to everyone by [`class`].
    pub(crate) fn pod(&mut self, n: u32, ingress: Direction, egress: Direction) {
        self.endpoint(
            n,
            Endpoint {
                ingress,
                egress,
                ip4: v4(n).into(),
                ip6: v6(n).into(),
                flags: 1,
                ..Endpoint::default()
            },
        );
        for ip in [v4(n), v6(n)] {
            self.address(ip, class(n), n);
        }
    }

    pub(crate) fn endpoint(&mut self, n: u32, endpoint: Endpoint) {
        self.hash("endpoints").insert(n, endpoint, 0).unwrap();
    }

    pub(crate) fn change(&mut self, n: u32, change: impl FnOnce(&mut Endpoint)) {
        let mut endpoint = self.hash("endpoints").get(&n, 0).unwrap();
        change(&mut endpoint);
        self.endpoint(n, endpoint);
    }

    pub(crate) fn address(&mut self, ip: IpAddr, class: u64, ifindex: u32) {
        let address = Address {
            class,
            ifindex,
            pod_mac: [2, 0, 0, 0, 1, u8::try_from(ifindex).unwrap()],
            host_mac: [2, 0, 0, 0, 2, u8::try_from(ifindex).unwrap()],
        };
        self.hash("addresses")
            .insert(Addr::from(ip), address, 0)
            .unwrap();
    }

    pub(crate) fn slot(&mut self, slot: u32, ifindex: u32) {
        self.hash("slots").insert(slot, ifindex, 0).unwrap();
    }

    pub(crate) fn cell(&mut self, set: u64, class: u64, mask: u64) {
        self.hash("cells")
            .insert(CellKey { set, class }, mask, 0)
            .unwrap();
    }

    pub(crate) fn set(&mut self, id: u64, set: Direction) {
        self.hash("sets").insert(id, set, 0).unwrap();
    }

    pub(crate) fn page(&mut self, ports: u64, protocol: u8, high: u16, class: impl Fn(u8) -> u8) {
        let key = PageKey {
            ports,
            protocol: protocol.into(),
            high,
            zero: 0,
        };
        let page = Page(std::array::from_fn(|low| class(u8::try_from(low).unwrap())));
        self.hash("ports").insert(key, page, 0).unwrap();
    }

    pub(crate) fn prefix(&mut self, set: u64, prefix: &str, mask: u64) {
        let prefix: IpNetwork = prefix.parse().unwrap();
        let halves = set.to_ne_bytes();
        let (low, high) = halves.split_at(4);
        let key = PrefixKey {
            family: family(prefix.ip()),
            set: [low, high].map(|half| u32::from_ne_bytes(half.try_into().unwrap())),
            address: trie_bytes(prefix.ip()),
        };
        let key = Key::new(96 + u32::from(prefix.prefix()), key);
        self.trie("prefixes").insert(&key, mask, 0).unwrap();
    }

    pub(crate) fn source(&mut self, ifindex: u32, prefix: &str) {
        let prefix: IpNetwork = prefix.parse().unwrap();
        let key = SourceKey {
            ifindex,
            family: family(prefix.ip()),
            address: trie_bytes(prefix.ip()),
        };
        let key = Key::new(64 + u32::from(prefix.prefix()), key);
        self.trie("sources").insert(&key, 1_u8, 0).unwrap();
    }

    pub(crate) fn settings(&mut self, flags: u32, sample: u32) {
        let map = self.bpf.map_mut("settings").unwrap();
        let mut map: Array<_, Settings> = map.try_into().unwrap();
        map.set(0, Settings { flags, sample }, 0).unwrap();
    }

    /// Says that something has changed.
    pub(crate) fn judge_anew(&mut self) {
        self.generation += 1;
        let map = self.bpf.map_mut("generation").unwrap();
        let mut map: Array<_, u32> = map.try_into().unwrap();
        map.set(0, self.generation, 0).unwrap();
    }

    /// All flows of an interface: in `flows_new`, in `flows`.
    pub(crate) fn flows(&mut self, map: &str, ifindex: u32) -> Vec<(FlowKey, Flow)> {
        let map = self.hash::<FlowKey, Flow>(map);
        let flows = map.iter().map(Result::unwrap);
        flows.filter(|(key, _)| key.ifindex == ifindex).collect()
    }

    /// Flows that go from host end to host end.
    pub(crate) fn pairs(&mut self) -> Vec<(FlowKey, Flow)> {
        [self.flows("flows_new", PAIR), self.flows("flows", PAIR)].concat()
    }

    /// Makes the flows of an interface look silent for so many seconds.
    pub(crate) fn age(&mut self, ifindex: u32, seconds: u64) {
        for map in ["flows", "flows_new"] {
            for (key, mut flow) in self.flows(map, ifindex) {
                flow.seen -= seconds * 1_000_000_000;
                self.hash(map).insert(key, flow, 0).unwrap();
            }
        }
    }

    pub(crate) fn count(&self, hook: Hook, reason: Reason) -> u64 {
        let drops: PerCpuArray<_, u64> = self.bpf.map("drops").unwrap().try_into().unwrap();
        let index = hook as usize * Reason::ALL.len() + reason as usize;
        let counts = drops.get(&u32::try_from(index).unwrap(), 0).unwrap();
        counts.iter().sum()
    }

    pub(crate) fn verdicts(&self, key: VerdictKey) -> u64 {
        let verdicts: PerCpuHashMap<_, VerdictKey, u64> =
            self.bpf.map("verdicts").unwrap().try_into().unwrap();
        verdicts
            .get(&key, 0)
            .map_or(0, |counts| counts.iter().sum())
    }

    pub(crate) fn events(&mut self) -> Vec<Vec<u8>> {
        let map = self.bpf.map_mut("events").unwrap();
        let mut ring: RingBuf<_> = map.try_into().unwrap();
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            assert_eq!(item.len(), size_of::<Event>());
            events.push(item.to_vec());
        }
        events
    }

    pub(crate) fn run(
        &mut self,
        program: &str,
        device: u32,
        ingress: u32,
        carried: u32,
        frame: &[u8],
    ) -> Ran {
        self.run_out(program, device, ingress, carried, frame).0
    }

    /// Also the frame as the program left it.
    pub(crate) fn run_out(
        &mut self,
        program: &str,
        device: u32,
        ingress: u32,
        carried: u32,
        frame: &[u8],
    ) -> (Ran, Vec<u8>) {
        if self.changing {
            self.judge_anew();
        }
        // `struct __sk_buff` up to `ifindex`: what follows may not be set.
        let mut context = [0; 44];
        let mut after = [0; 192];
        let mut frame_after = vec![0; frame.len()];
        for (at, word) in [(8, carried), (36, ingress), (40, device)] {
            context[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut frame_after);
        options.ctx_in = Some(&context);
        options.ctx_out = Some(&mut after);
        let run = if program == object::TO_NODE {
            // A socket filter begins at the network header, and its frame comes back without the other.
            let program: &SocketFilter = self.bpf.program(program).unwrap().try_into().unwrap();
            program.test_run(options)
        } else {
            let program: &SchedClassifier = self.bpf.program(program).unwrap().try_into().unwrap();
            program.test_run(options)
        };
        let ran = Ran {
            code: run.unwrap().return_value.cast_signed(),
            carried: u32::from_ne_bytes(after[8..12].try_into().unwrap()),
        };
        (ran, frame_after)
    }

    /// What a pod's host end makes of a frame. The pod may have put anything where things are carried.
    pub(crate) fn send(&mut self, pod: u32, frame: &[u8]) -> Ran {
        self.run(object::FROM_POD, pod, pod, 0xffff, frame)
    }

    /// Whether a frame reaches a pod, from another pod, the node or the wire.
    pub(crate) fn reaches(&mut self, from: u32, pod: u32, frame: &[u8]) -> bool {
        let mut carried = 0;
        if (A..=C).contains(&from) {
            let sent = self.send(from, frame);
            if sent.code != PASS {
                return sent.code == REDIRECT;
            }
            carried = sent.carried;
        }
        self.arrives(from, pod, carried, frame)
    }

    pub(crate) fn arrives(&mut self, from: u32, pod: u32, carried: u32, frame: &[u8]) -> bool {
        self.run(object::TO_POD, pod, from, carried, frame).code == PASS
    }

    /// Whether a pod's frame leaves by the wire.
    pub(crate) fn leaves(&mut self, pod: u32, frame: &[u8]) -> bool {
        let sent = self.send(pod, frame);
        sent.code == PASS
            && self
                .run(object::TO_WIRE, WIRE, pod, sent.carried, frame)
                .code
                == PASS
    }

    /// Whether a pod's frame gets to the node itself.
    pub(crate) fn reaches_node(&mut self, pod: u32, frame: &[u8]) -> bool {
        let sent = self.send(pod, frame);
        sent.code == PASS
            && self
                .run(object::TO_NODE, pod, pod, sent.carried, frame)
                .code
                == 0
    }
}

fn family(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 4 } else { 6 }
}

fn trie_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

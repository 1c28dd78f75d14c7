/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What the programs and `fairlead-netpol-datapath` share: keys, values and numbers of every map.
 * `datapath/src/layout.rs` mirrors this file; a test compares sizes and offsets.
 * Addresses and ports are in network byte order, everything else in the host's. No padding is left
 * unnamed: map keys are compared as bytes. */
#pragma once
#include <linux/types.h>

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
struct addr {
	__be32 word[4];
};

/* How one direction of a pod is judged: all that has to be known of its policy set before a peer is
 * looked up. Ids are hashes of content: an id never gets another meaning. */
struct direction {
	__u64 set;   /* 0: the pod is not isolated in this direction */
	__u64 any;   /* port classes that every peer may use, known or not */
	__u64 ports; /* key into `ports`; 0: there are no pages */
	__u64 next; /* key into `sets`: more rules, where one set has too many port classes; 0: none
		     */
	__u32 flags;  /* enum direction_flag */
	__u8 rest[4]; /* port class of ports without a page: of TCP, of UDP, of SCTP; and a zero */
};

/* No more sets than this lead to one another. */
#define SETS_IN_A_ROW 16

enum direction_flag {
	DIRECTION_CELLS = 1,	/* `cells` has entries for this set */
	DIRECTION_PREFIXES = 2, /* `prefixes` has */
};

/* `endpoints`: interface index -> who is there. One write changes a pod from one state to the next.
 */
struct endpoint {
	struct direction ingress; /* judged on the way to the pod */
	struct direction egress; /* judged where the pod's packets leave the node, reach another pod
				    or the node itself */
	struct addr ip4;	 /* the pod's own addresses; all zero: none of that family */
	struct addr ip6;
	__u64 grace_until; /* CLOCK_MONOTONIC in ns: until then a TCP segment in the middle of an
			      unknown flow is a reply */
	__u32 flags;	   /* enum endpoint_flag */
	__u16 slot; /* bridged pods: what `carry` says of packets that the bridge hands to the node;
		       else 0 */
	__u16 zero;
};

enum endpoint_flag {
	ENDPOINT_CHECK_SOURCE =
	    1, /* the pod may send only from its own addresses and those in `sources` */
	ENDPOINT_BRIDGED =
	    2, /* a port of a bridge: ARP and NDP senders are checked too, no shortcut */
	ENDPOINT_BRIDGE =
	    4, /* no pod: the bridge itself; who sent is told by the slot in `carry` */
	ENDPOINT_NO_SHORTCUT =
	    8, /* its host end has a queueing discipline that packets must pass */
};

/* `addresses`: address -> the pod that has it, anywhere in the cluster. Not there: no pod, see
 * `prefixes`. */
struct address {
	__u64 class;   /* which peers of this node's policies the address is; 0 never stands here */
	__u32 ifindex; /* host end of a routed pod of this node; 0: elsewhere, or bridged */
	__u8 pod_mac[6]; /* with an ifindex: MAC addresses of the pod's end and of its host end */
	__u8 host_mac[6];
};

/* `cells`: a set and a class -> the port classes that it may use. */
struct cell_key {
	__u64 set;
	__u64 class;
};

/* `ports`: a page of 256 ports -> their port classes (0 to 63). No page: as `rest` of the direction
 * says. Port class 0 is that of ICMP and of protocols without ports, and of all ports that no rule
 * names: what allows it names no port. */
struct page_key {
	__u64 ports;
	__u16 protocol; /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
	__u16 high;	/* the port's upper 8 bits */
	__u32 zero;
};

struct page {
	__u8 class[256];
};

/* `prefixes`, a longest-prefix-match trie: where a peer is no known pod. The mask is that of all
 * rules whose block has the address: blocks are flattened, one look tells all. `length` counts from
 * `set`: 96 + the prefix's length. */
struct prefix_key {
	__u32 length;
	__u32 family; /* 4 or 6 */
	__u64 set;
	__u8 address[16]; /* IPv4 in the first four */
} __attribute__((packed, aligned(4)));

/* `sources`, a longest-prefix-match trie of u8: what else a pod may send from. `length`: 64 + the
 * prefix's. */
struct source_key {
	__u32 length;
	__u32 ifindex;
	__u32 family;
	__u8 address[16];
};

/* `slots`: u32 slot of a bridged pod -> u32 index of its host end. */

/* `flows_new` and `flows`: one entry for both directions of a flow as one interface sees it. An
 * ICMP echo has its identifier as the port of the side that asks, and 0 as the other's. A flow that
 * goes from host end to host end, past the node's stack, has one for both ends instead: its local
 * side is the pod with the lower address (`addr_before`). */
struct flow_key {
	struct addr local; /* the pod's side */
	struct addr remote;
	__u32 ifindex; /* PAIR: of both ends */
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 zero[3];
};

struct flow {
	__u64 seen;    /* ns of bpf_ktime_get_coarse_ns() */
	__u8 opener;   /* enum side */
	__u8 state;    /* enum flow_state */
	__u8 fins;     /* enum flow_fin */
	__u8 zero;
	__u32 from;   /* remote opener: index of the interface that it came by, FROM_NODE or
			 FROM_UNKNOWN; of a pair always the remote side's host end */
	__u32 local;  /* of a pair: the local side's host end */
	__u32 judged; /* of a pair: the `generation` in which both ends have allowed it */
};

#define PAIR 0

#define FROM_NODE 0
#define FROM_UNKNOWN 0xffffffff

enum side {
	SIDE_REMOTE = 0,
	SIDE_POD = 1,
};

enum flow_state {
	FLOW_OPENED = 0,   /* only the opener has sent */
	FLOW_ANSWERED = 1, /* the other side too */
	FLOW_ESTABLISHED =
	    2, /* and the opener again: both sides are real. Moved from `flows_new` to `flows` */
	FLOW_CLOSING = 3, /* a FIN from each side, or a RST */
};

enum flow_fin {
	FLOW_FIN_REMOTE = 1, /* 1 << enum side */
	FLOW_FIN_POD = 2,
};

/* `generation`, one element, u32: another one after each change of what policy or settings say. What
 * was judged before it has to be judged again. */

/* `fragments`: what the first fragment of a datagram said. */
struct fragment_key {
	struct addr source;
	struct addr destination;
	__u32 ifindex;
	__u32 id;
	__u8 protocol;
	__u8 zero[3];
};

struct fragment {
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol; /* of IPv6: after the last extension header */
	__u8 kind;     /* enum packet_kind of packet.h */
	__u8 zero[2];
};

/* `settings`, one element. */
struct settings {
	__u32 flags; /* enum setting_flag */
	__u32
	    sample; /* of the flows that are allowed one in so many is told in `events`; 0: none */
};

enum setting_flag {
	SETTING_SHORTCUT = 1,
};

/* skb->tc_index, from the hook at the pod's host end to the one that judges its egress. Netfilter
 * and routing leave it alone, and the kernel copies it with fragments and segments. */
enum carry {
	CARRY_REPLY = 0x8000,  /* belongs to a flow that may pass: egress is not judged again */
	CARRY_DIRECT = 0x4000, /* was sent to an address of a pod of this node, not to a Service */
	CARRY_NEW = 0x2000,    /* the first packet of its flow: counted where egress allows it */
	CARRY_SLOT = 0x1fff,
};

/* Why a packet was let through or dropped. `drops` counts by it. */
enum reason {
	REASON_ALLOWED = 0,
	REASON_INGRESS = 1,    /* no policy that isolates the receiving pod allows it */
	REASON_EGRESS = 2,     /* no policy that isolates the sending pod allows it */
	REASON_SOURCE = 3,     /* sent from an address that is not the pod's */
	REASON_MALFORMED = 4,  /* shorter than its headers say, or headers that make no sense */
	REASON_FRAGMENT = 5,   /* a later fragment whose first was not seen */
	REASON_ICMP_ERROR = 6, /* an ICMP error about no known flow, to or from an isolated pod */
	REASON_NOT_IP = 7,     /* neither IP nor ARP, to or from an isolated pod */
	REASON_STARTING = 8,   /* the agent has not yet said what holds for the pod */
	REASONS = 9,
};

enum hook {
	HOOK_FROM_POD = 0, /* clsact ingress of a pod's host end */
	HOOK_TO_POD = 1,   /* clsact egress of a pod's host end */
	HOOK_TO_WIRE = 2,  /* clsact egress of any other device */
	HOOK_TO_NODE = 3,  /* netfilter input, by a rule with `xt match bpf` */
	HOOKS = 4,
};

/* `drops`: per-CPU array of u64, index hook * REASONS + reason. REASON_ALLOWED counts new flows.
 * `lost`: per-CPU array of one u64: events that found the ring full. */

/* `verdicts`: how often a cell allowed a new flow or dropped a packet. */
struct verdict_key {
	__u64 set;
	__u64 class; /* 0: no known pod */
	__u8 port_class;
	__u8 reason; /* REASON_ALLOWED, REASON_INGRESS or REASON_EGRESS */
	__u8 zero[6];
};

/* `events`, a ring buffer. The counters are the record, these are a sample. */
struct event {
	__u64 time; /* CLOCK_MONOTONIC in ns */
	__u64 set;
	__u64 class;
	struct addr source; /* of an ICMP error: of the packet inside */
	struct addr destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 ifindex;	/* where the hook is */
	__u32 endpoint; /* of the pod that was judged */
	__u8 protocol;
	__u8 reason;
	__u8 hook;
	__u8 port_class;
};

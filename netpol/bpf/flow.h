/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Flows as one interface sees them: what tells an answer from a question. Flows that both sides
 * have confirmed live in a map of their own, so that a flood of new ones throws none of them out.
 */
#pragma once
#include "addr.h"
#include "maps.h"
#include "packet.h"

#define SECOND 1000000000ULL

/* Tests let programs run far from the start of the machine, so that flows can be older than it. */
const volatile __u64 clock_ahead = 0;

/* Coarse, which is cheap: a tick of some milliseconds. */
static __always_inline __u64 clock_now(void)
{
	return bpf_ktime_get_coarse_ns() + clock_ahead;
}

static __always_inline void flow_key_of(struct flow_key *key, const struct packet *p, __u32 ifindex,
					enum side sender)
{
	bool sends = sender == SIDE_POD;

	key->local = sends ? p->source : p->destination;
	key->remote = sends ? p->destination : p->source;
	key->ifindex = ifindex;
	key->local_port = sends ? p->source_port : p->destination_port;
	key->remote_port = sends ? p->destination_port : p->source_port;
	key->protocol = p->protocol;
	key->zero[0] = key->zero[1] = key->zero[2] = 0;
}

/* How long a flow may be silent. The times are netfilter's, or longer. */
static __always_inline __u64 lifetime(__u8 protocol, __u8 state)
{
	bool established = state == FLOW_ESTABLISHED;

	switch (protocol) {
	case IPPROTO_TCP:
		return established ? 5 * 86400 * SECOND : 120 * SECOND;
	case IPPROTO_UDP:
		return established ? 180 * SECOND : 60 * SECOND;
	case IPPROTO_SCTP:
		return established ? 300 * SECOND : 60 * SECOND;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 30 * SECOND;
	default:
		return 600 * SECOND;
	}
}

/* `seen` may be a tick ahead of another CPU's `now`. */
static __always_inline bool is_older(__u64 seen, __u64 now, __u64 age)
{
	return now > seen && now - seen > age;
}

static __always_inline void flow_forget(const struct flow_key *key)
{
	bpf_map_delete_elem(&flows, key);
	bpf_map_delete_elem(&flows_new, key);
}

static __always_inline struct flow *flow_lookup(const struct flow_key *key)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow ? flow : bpf_map_lookup_elem(&flows_new, key);
}

/* The flow of a packet; none when it was silent for too long, or when a SYN uses the ports of a
 * closed one anew. */
static __always_inline struct flow *flow_find(const struct flow_key *key, const struct packet *p,
					      __u64 now)
{
	struct flow *flow = flow_lookup(key);

	if (!flow)
		return NULL;
	if (!is_older(flow->seen, now, lifetime(key->protocol, flow->state)) &&
	    !(flow->state == FLOW_CLOSING && packet_is_syn(p)))
		return flow;
	flow_forget(key);
	return NULL;
}

/* A flow as the pod at one of its ends sees it; or both of them together, see pair.h. */
struct end {
	struct flow_key key;
	struct flow *flow; /* as it was before the packet: stale once the packet was followed */
	const struct endpoint *pod;
	__u64 now;
	__u32 ifindex; /* the pod's host end */
	bool direct;   /* it is no pair, and could become one: `to_pod` knows whether NAT touched it
			*/
};

static __always_inline void find_end(struct end *end, const struct packet *p, enum side sender)
{
	flow_key_of(&end->key, p, end->ifindex, sender);
	end->flow = flow_find(&end->key, p, end->now);
}

/* Begins a flow. Of a global function's arguments the verifier forgets what they point to, so no
 * pointer may stand there; and before kernel 6.2 it takes as a map's key what stands on the
 * function's own stack only. */
__noinline int flow_write(const struct flow_key *of, __u64 now, __u32 opener, __u32 from)
{
	struct flow flow = {.seen = now, .opener = opener, .from = from};
	struct flow_key key;

	if (!of)
		return 0;
	key = *of;
	bpf_map_update_elem(&flows_new, &key, &flow, BPF_ANY);
	return 0;
}

static __always_inline void flow_open(const struct end *end, enum side opener, __u32 from)
{
	/* An older one that is confirmed would be found first. */
	if (end->flow)
		bpf_map_delete_elem(&flows, &end->key);
	flow_write(&end->key, end->now, opener, from);
}

/* Moves a flow that both sides have confirmed. */
__noinline int flow_confirm(const struct flow_key *of)
{
	struct flow *flow, confirmed;
	struct flow_key key;

	if (!of)
		return 0;
	key = *of;
	flow = bpf_map_lookup_elem(&flows_new, &key);
	if (!flow)
		return 0;
	flow->state = FLOW_ESTABLISHED;
	confirmed = *flow;
	if (!bpf_map_update_elem(&flows, &key, &confirmed, BPF_ANY))
		bpf_map_delete_elem(&flows_new, &key);
	return 0;
}

static __always_inline void flow_close(struct flow *flow, enum side sender, __u8 tcp_flags)
{
	if (tcp_flags & TCP_FIN)
		flow->fins |= 1 << sender;
	if (tcp_flags & TCP_RST || flow->fins == (FLOW_FIN_POD | FLOW_FIN_REMOTE))
		flow->state = FLOW_CLOSING;
}

/* A packet of a flow passes. The pointer is stale afterwards: a confirmed flow moves. */
static __always_inline void flow_touch(const struct end *end, const struct packet *p,
				       enum side sender)
{
	struct flow *flow = end->flow;

	if (is_older(flow->seen, end->now, SECOND))
		flow->seen = end->now;
	if (p->protocol == IPPROTO_TCP && p->tcp_flags & (TCP_FIN | TCP_RST))
		flow_close(flow, sender, p->tcp_flags);
	if (flow->opener != sender) {
		if (flow->state == FLOW_OPENED)
			flow->state = FLOW_ANSWERED;
	} else if (flow->state == FLOW_ANSWERED) {
		flow_confirm(&end->key);
	}
}

/* Whether a packet goes against its flow's opener. A SYN does so only where both sides open at once
 * (RFC 9293 section 3.5); later it is a connection of its own. */
static __always_inline bool is_reply(const struct flow *flow, const struct packet *p,
				     enum side sender)
{
	return flow && flow->opener != sender && (flow->state == FLOW_OPENED || !packet_is_syn(p));
}

/* A later fragment does not: where the first was refused, its entry would let answers in. */
static __always_inline bool opens_flows(const struct packet *p)
{
	return p->kind == PACKET_FLOW && !p->later;
}

static __always_inline bool is_midway(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && opens_flows(p) && !packet_is_syn(p);
}

/* Who opened a connection that is met midway, by its ports: servers have the lower. */
static __always_inline enum side opener_by_ports(const struct packet *p, enum side sender)
{
	bool is_answer = bpf_ntohs(p->source_port) < bpf_ntohs(p->destination_port);

	return is_answer ? !sender : sender;
}

/* Programs came to a pod that ran already: connections that they have not seen begin are under way.
 */
static __always_inline bool in_grace(const struct endpoint *pod, const struct packet *p, __u64 now)
{
	return now < pod->grace_until && is_midway(p);
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* A flow between two pods of this node, past its stack: one entry for both ends. It says when its
 * packets were judged last: until anything changes, and for a second at most, those that follow are
 * not judged again.
 */
#pragma once
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include "flow.h"

static __always_inline __u32 generation_now(void)
{
	__u32 first = 0;
	const volatile __u32 *now = bpf_map_lookup_elem(&generation, &first);

	return now ? *now : 0;
}

/* Where a packet is for that may be of a pair: the address of another pod of this node, or its own. */
static __always_inline const struct address *find_target(const struct packet *p)
{
	const struct address *target;

	if (p->kind != PACKET_FLOW || (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return NULL;
	target = bpf_map_lookup_elem(&addresses, &p->destination);
	return target && target->ifindex ? target : NULL;
}

/* At which side of its key the sender of a packet is. */
static __always_inline enum side pair_sender(const struct packet *p)
{
	return addr_before(&p->source, &p->destination) ? SIDE_POD : SIDE_REMOTE;
}

/* The key that both directions have. */
static __always_inline void pair_key_of(struct flow_key *key, const struct packet *p)
{
	flow_key_of(key, p, PAIR, pair_sender(p));
}

static __always_inline __u32 pair_end(const struct flow *pair, enum side side)
{
	return side == SIDE_POD ? pair->local : pair->from;
}

/* The pair of a packet with one end there, at the sender's side or the other. Other pods than those
 * that opened it may have the addresses by now. */
static __always_inline struct flow *pair_find(struct flow_key *key, const struct packet *p,
					      enum side side, __u32 end, __u64 now)
{
	struct flow *pair;

	pair_key_of(key, p);
	pair = flow_find(key, p, now);
	return pair && pair_end(pair, side) == end ? pair : NULL;
}

/* Begins one by a packet. `judged` is the generation in which it was. */
__noinline int pair_open(const struct packet *p, __u32 from, __u32 to, __u32 judged)
{
	struct flow flow = {.judged = judged};
	struct flow_key key;

	if (!p)
		return 0;
	flow.seen = clock_now();
	flow.opener = pair_sender(p);
	flow.local = flow.opener == SIDE_POD ? from : to;
	flow.from = flow.opener == SIDE_POD ? to : from;
	pair_key_of(&key, p);
	/* An older one that is confirmed would be found first. */
	bpf_map_delete_elem(&flows, &key);
	bpf_map_update_elem(&flows_new, &key, &flow, BPF_ANY);
	return 0;
}

static __always_inline void flow_put(const struct flow_key *key, const struct flow *flow)
{
	if (flow->state < FLOW_ESTABLISHED)
		bpf_map_update_elem(&flows_new, key, flow, BPF_ANY);
	else
		bpf_map_update_elem(&flows, key, flow, BPF_ANY);
}

/* Gives each end an entry of its own, as flows by the long way have. */
__noinline int pair_part(const struct packet *p)
{
	struct flow_key key, other;
	struct flow flow, *pair;
	enum side sender;
	__u32 local;

	if (!p)
		return 0;
	sender = pair_sender(p);
	pair_key_of(&key, p);
	pair = flow_lookup(&key);
	if (!pair)
		return 0;
	flow = *pair;
	flow_forget(&key);
	local = flow.local;
	flow.local = 0;
	key.ifindex = local;
	flow_put(&key, &flow);

	flow_key_of(&other, p, flow.from, !sender);
	flow.from = local;
	flow.opener = !flow.opener;
	flow.fins = flow.fins >> 1 | (flow.fins & FLOW_FIN_REMOTE) << 1;
	flow_put(&other, &flow);
	return 0;
}

/* The pod's end gets the packet as if its host end had sent it. */
static __always_inline int send_to_pod(struct __sk_buff *skb, const struct address *target)
{
	/* Both addresses, which stand behind one another there as well. */
	bpf_skb_store_bytes(skb, 0, target->pod_mac, 2 * ETH_ALEN, 0);
	return bpf_redirect_peer(target->ifindex, 0);
}

/* Whether a packet goes on unasked: its pair was judged in this generation, and not long ago. */
static __always_inline bool is_judged(const struct end *pair, const struct address *target,
				      const struct packet *p, __u32 generation)
{
	const struct flow *flow = pair->flow;

	return flow && pair_end(flow, !pair_sender(p)) == target->ifindex &&
	       flow->judged == generation && !is_older(flow->seen, pair->now, SECOND) &&
	       /* A SYN later than the first begins a connection of its own. */
	       !(packet_is_syn(p) && flow->state != FLOW_OPENED);
}

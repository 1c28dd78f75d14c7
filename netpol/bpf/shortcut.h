/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* From host end to host end, past the node's network stack: for flows between two routed pods that
 * no NAT touches. Netfilter's conntrack has to see both directions of a flow or none. So TCP may
 * enter it with a SYN only, and leaves it for good: a flow on it is a pair, one that is not has an
 * entry at each end.
 */
#pragma once
#include "depart.h"
#include "pair.h"

#define NO_SHORTCUT (ENDPOINT_BRIDGED | ENDPOINT_NO_SHORTCUT)

struct receiver {
	const struct endpoint *pod;
	__u32 ifindex; /* its host end */
};

static __always_inline bool shortcut_is_on(void)
{
	const struct settings *now = settings_now();

	return now && now->flags & SETTING_SHORTCUT;
}

/* Whether packets between the two may go the short way. */
static __always_inline bool are_fit(const struct end *from, struct receiver *to,
				    const struct packet *p)
{
	if (!shortcut_is_on() || to->ifindex == from->ifindex || from->pod->flags & NO_SHORTCUT ||
	    !addr_same(own_address(from->pod, p->family), &p->source))
		return false;
	to->pod = endpoint_of(to->ifindex);
	return to->pod && !(to->pod->flags & NO_SHORTCUT) &&
	       addr_same(own_address(to->pod, p->family), &p->destination);
}

/* The flow of what cannot go the short way. An ICMP error may be about one that does. */
static __always_inline void find_long(struct end *from, const struct packet *p)
{
	find_end(from, p, SIDE_POD);
	if (!from->flow && p->kind == PACKET_ERROR)
		from->flow = pair_find(&from->key, p, pair_sender(p), from->ifindex, from->now);
}

/* Where a packet for `target` goes by the short way; `from` is then the pair, or what is to become
 * one. NULL: it takes the long way. Before, `from` has the pair's flow, if there is one. */
static __always_inline const struct address *find_shortcut(struct end *from, struct receiver *to,
							   const struct packet *p,
							   const struct address *target)
{
	bool fit;

	if (!target) {
		find_long(from, p);
		return NULL;
	}
	to->ifindex = target->ifindex;
	fit = are_fit(from, to, p);
	if (from->flow) {
		if (fit && pair_end(from->flow, !pair_sender(p)) == to->ifindex)
			return target;
		pair_part(p);
	}
	find_end(from, p, SIDE_POD);
	if (fit && !from->flow && packet_is_syn(p)) {
		pair_key_of(&from->key, p);
		return target;
	}
	from->direct = fit && p->protocol == IPPROTO_UDP &&
		       !(from->flow && from->flow->state >= FLOW_ESTABLISHED);
	return NULL;
}

/* Both judgements at once, for a packet that goes from host end to host end; follows the pair.
 * `generation` is that from before anything was looked up. */
static __always_inline bool pair_may_pass(struct end *pair, const struct receiver *to,
					  const struct packet *p, struct question *q,
					  __u32 generation)
{
	struct sender from = {.pod = pair->pod, .ifindex = pair->ifindex};
	enum side sender = pair_sender(p);
	bool reply = is_reply(pair->flow, p, sender);
	bool opens = !reply && !(pair->flow && pair->flow->opener == sender);
	enum reason reason;

	if (opens)
		from.carried = CARRY_NEW;
	else if (reply && reply_may_leave(pair, to->ifindex, p, q))
		from.carried = CARRY_REPLY;
	reason = judge_egress(&from, p, q);
	if (reason) {
		flow_forget(&pair->key);
		report_drop(p, q, from.ifindex, reason);
		return false;
	}
	q->set = 0;
	if (!reply && to->pod->ingress.set && !ingress_allows(to->pod, from.pod, p, q)) {
		report_drop(p, q, to->ifindex, REASON_INGRESS);
		return false;
	}
	if (opens) {
		pair_open(p, from.ifindex, to->ifindex, generation);
		count_flow(p);
		count_flow(p);
		report_flow(p, q, to->ifindex);
	} else {
		pair->flow->judged = generation;
		flow_touch(pair, p, sender);
	}
	return true;
}

/* A packet of a pair came by the long way, so conntrack knows it. */
static __always_inline void leave_shortcut(struct end *to, const struct packet *p)
{
	struct flow_key key;
	struct flow *pair = pair_find(&key, p, !pair_sender(p), to->ifindex, to->now);

	if (!pair)
		return;
	if (p->kind == PACKET_ERROR) {
		to->flow = pair;
		return;
	}
	pair_part(p);
	find_end(to, p, SIDE_REMOTE);
}

/* UDP came by the long way as its sender sent it: no NAT, so it may go the short way from now on.
 */
static __always_inline void enter_shortcut(const struct end *to, const struct sender *sender,
					   const struct packet *p)
{
	struct flow_key sent;
	struct flow *ours, *theirs;

	if (!(sender->carried & CARRY_DIRECT) || p->protocol != IPPROTO_UDP)
		return;
	flow_key_of(&sent, p, sender->ifindex, SIDE_POD);
	theirs = flow_lookup(&sent);
	ours = flow_lookup(&to->key);
	if (!theirs || !ours || theirs->opener != SIDE_POD || ours->opener != SIDE_REMOTE)
		return;
	/* The next packet is judged again. */
	pair_open(p, sender->ifindex, to->ifindex, generation_now() - 1);
	flow_forget(&sent);
	flow_forget(&to->key);
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Kubernetes NetworkPolicy. A packet from a pod passes `from_pod`, which checks its source and follows its flow, then
 * whatever the node does with it, and then the hook where it leaves: `to_pod` (another pod of the node), `to_wire`
 * (any other device) or `to_node` (local delivery). There egress is judged, with the destination that NAT has left;
 * `to_pod` judges ingress as well. */
#include <linux/pkt_cls.h>

#include "depart.h"
#include "shortcut.h"

/* The next filter is asked: others may have theirs behind ours. */
#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

static __always_inline int drop(const struct packet *p, const struct question *q, __u32 endpoint,
				enum reason reason)
{
	report_drop(p, q, endpoint, reason);
	return DROP;
}

static __always_inline enum reason check_departure(struct __sk_buff *skb, const struct endpoint *pod,
						   const struct packet *p)
{
	if (p->kind == PACKET_MALFORMED)
		return REASON_MALFORMED;
	if (!source_is_own(skb, pod, p))
		return REASON_SOURCE;
	if (p->kind == PACKET_OTHER && pod->egress.set)
		return REASON_NOT_IP;
	return REASON_ALLOWED;
}

SEC("classifier")
int from_pod(struct __sk_buff *skb)
{
	struct departure at = {.ifindex = skb->ifindex};
	struct packet p = {.device = skb->ifindex, .hook = HOOK_FROM_POD};
	struct question q = {};
	enum reason reason;

	/* The pod may have written there. */
	carry(skb, 0);
	at.pod = endpoint_of(at.ifindex);
	if (!at.pod)
		return drop(&p, NULL, at.ifindex, REASON_STARTING);
	parse(skb, HOOK_FROM_POD, &p);
	reason = check_departure(skb, at.pod, &p);
	if (reason)
		return drop(&p, NULL, at.ifindex, reason);
	at.carry = at.pod->slot;
	if (p.kind == PACKET_NEIGHBOUR || p.kind == PACKET_OTHER || p.kind == PACKET_LATER ||
	    (p.kind == PACKET_ERROR && !look_inside(skb, HOOK_FROM_POD, &p))) {
		carry(skb, at.carry);
		return PASS;
	}
	at.now = bpf_ktime_get_coarse_ns();
	flow_key_of(&at.key, &p, at.ifindex, SIDE_POD);
	at.flow = flow_find(&at.key, &p, at.now);
	follow(&at, &p, &q);
	carry(skb, at.carry);
	return PASS;
}

SEC("classifier")
int to_pod(struct __sk_buff *skb)
{
	struct arrival at = {.ifindex = skb->ifindex};
	struct packet p = {.device = skb->ifindex, .hook = HOOK_TO_POD};
	struct question q = {};
	struct sender sender;
	enum reason reason;

	at.pod = endpoint_of(at.ifindex);
	if (!at.pod)
		return drop(&p, NULL, at.ifindex, REASON_STARTING);
	find_sender(skb, &sender);
	parse(skb, HOOK_TO_POD, &p);
	if (p.kind == PACKET_MALFORMED)
		return drop(&p, NULL, at.ifindex, REASON_MALFORMED);
	if (sender.ifindex != at.ifindex) {
		reason = judge_egress(&sender, &p, &q);
		if (reason)
			return drop(&p, &q, sender.ifindex, reason);
	}
	at.now = bpf_ktime_get_coarse_ns();
	if (p.kind != PACKET_ERROR || look_inside(skb, HOOK_TO_POD, &p)) {
		flow_key_of(&at.key, &p, at.ifindex, SIDE_REMOTE);
		at.flow = flow_find(&at.key, &p, at.now);
	}
	reason = judge_ingress(&at, &sender, &p, &q);
	return reason ? drop(&p, &q, at.ifindex, reason) : PASS;
}

/* Egress at the two hooks where no pod receives. */
static __always_inline bool may_leave(struct __sk_buff *skb, enum hook hook)
{
	struct packet p = {.device = skb->ifindex, .hook = hook};
	struct question q = {};
	struct sender sender;
	enum reason reason;

	find_sender(skb, &sender);
	if (!sender.pod || sender.carried & CARRY_REPLY)
		return true;
	if (!sender.pod->egress.set && !(sender.carried & CARRY_NEW))
		return true;
	parse(skb, hook, &p);
	reason = p.kind == PACKET_MALFORMED ? REASON_MALFORMED : judge_egress(&sender, &p, &q);
	if (reason)
		report_drop(&p, &q, sender.ifindex, reason);
	return !reason;
}

SEC("classifier")
int to_wire(struct __sk_buff *skb)
{
	return may_leave(skb, HOOK_TO_WIRE) ? PASS : DROP;
}

/* A rule of netfilter's input hook drops what this matches. */
SEC("socket")
int to_node(struct __sk_buff *skb)
{
	return may_leave(skb, HOOK_TO_NODE) ? 0 : 1;
}

char _license[] SEC("license") = "GPL";

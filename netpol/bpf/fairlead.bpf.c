/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Kubernetes NetworkPolicy. A packet from a pod passes `from_pod`, which checks its source and
 * follows its flow, then whatever the node does with it, and then the hook where it leaves:
 * `to_pod` (another pod of the node), `to_wire` (any other device) or `to_node` (local delivery).
 * There egress is judged, with the destination that NAT has left; `to_pod` judges ingress as well.
 */
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

static __always_inline enum reason
check_departure(struct __sk_buff *skb, const struct endpoint *pod, const struct packet *p)
{
	if (p->kind == PACKET_MALFORMED)
		return REASON_MALFORMED;
	if (!source_is_own(skb, pod, p))
		return REASON_SOURCE;
	if (p->kind == PACKET_OTHER && pod->egress.set)
		return REASON_NOT_IP;
	return REASON_ALLOWED;
}

/* What belongs to no flow is judged where it leaves. */
static __always_inline bool has_flow(struct __sk_buff *skb, struct packet *p)
{
	if (p->kind == PACKET_ERROR)
		return look_inside_packet(skb, p);
	return p->kind == PACKET_FLOW || p->kind == PACKET_ANSWER;
}

SEC("classifier")
int from_pod(struct __sk_buff *skb)
{
	struct packet p = {.device = skb->ifindex, .hook = HOOK_FROM_POD};
	struct end from = {.ifindex = skb->ifindex};
	const struct address *target;
	struct question q = {};
	struct receiver to;
	enum reason reason;
	__u32 what, generation;

	/* The pod may have written there. */
	carry(skb, 0);
	parse_frame(skb, &p);
	generation = generation_now();
	from.now = clock_now();
	target = find_target(&p);
	if (target)
		from.flow =
		    pair_find(&from.key, &p, pair_sender(&p), from.ifindex, from.now);
	if (target && is_judged(&from, target, &p, generation)) {
		flow_touch(&from, &p, pair_sender(&p));
		return send_to_pod(skb, target);
	}
	from.pod = endpoint_of(from.ifindex);
	if (!from.pod)
		return drop(&p, NULL, from.ifindex, REASON_STARTING);
	reason = check_departure(skb, from.pod, &p);
	if (reason)
		return drop(&p, NULL, from.ifindex, reason);
	what = from.pod->slot;
	if (has_flow(skb, &p)) {
		target = find_shortcut(&from, &to, &p, target);
		if (target) {
			if (!pair_may_pass(&from, &to, &p, &q, generation))
				return DROP;
			return send_to_pod(skb, target);
		}
		what |= follow(&from, &p, &q);
		if (from.direct)
			what |= CARRY_DIRECT;
	}
	carry(skb, what);
	return PASS;
}

SEC("classifier")
int to_pod(struct __sk_buff *skb)
{
	struct packet p = {.device = skb->ifindex, .hook = HOOK_TO_POD};
	struct end to = {.ifindex = skb->ifindex};
	struct question q = {};
	struct sender sender;
	enum reason reason;

	parse_frame(skb, &p);
	to.pod = endpoint_of(to.ifindex);
	if (!to.pod)
		return drop(&p, NULL, to.ifindex, REASON_STARTING);
	find_sender(skb, &sender);
	if (p.kind == PACKET_MALFORMED)
		return drop(&p, NULL, to.ifindex, REASON_MALFORMED);
	if (sender.ifindex != to.ifindex) {
		reason = judge_egress(&sender, &p, &q);
		if (reason)
			return drop(&p, &q, sender.ifindex, reason);
	}
	to.now = clock_now();
	if (p.kind != PACKET_ERROR || look_inside_packet(skb, &p)) {
		find_end(&to, &p, SIDE_REMOTE);
		if (!to.flow && sender.pod)
			leave_shortcut(&to, &p);
	}
	reason = judge_ingress(&to, &sender, &p, &q);
	if (reason)
		return drop(&p, &q, to.ifindex, reason);
	enter_shortcut(&to, &sender, &p);
	return PASS;
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
	if (hook == HOOK_TO_NODE)
		parse(skb, &p);
	else
		parse_packet(skb, &p);
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

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* The two judgements: may it leave its sender, may it reach its receiver. */
#pragma once
#include "carry.h"
#include "flow.h"
#include "parse.h"
#include "report.h"
#include "source.h"
#include "verdict.h"

static __always_inline const struct addr *own_address(const struct endpoint *pod, __u8 family)
{
	return family == 4 ? &pod->ip4 : &pod->ip6;
}

/* What an isolated pod may not send or get, whatever its rules say; REASON_ALLOWED: the rules have
 * to be asked. */
static __always_inline enum reason unjudgeable(const struct packet *p)
{
	switch (p->kind) {
	case PACKET_ERROR:
		return REASON_ICMP_ERROR;
	case PACKET_LATER:
		return REASON_FRAGMENT;
	case PACKET_OTHER:
		return REASON_NOT_IP;
	default:
		return REASON_ALLOWED;
	}
}

/* A flow that was refused where it left must not let answers in. Where NAT has changed its
 * addresses, its entry is not found and dies of age. */
__noinline int forget_refused(const struct packet *p, __u32 ifindex)
{
	struct flow_key key;

	if (!p)
		return 0;
	flow_key_of(&key, p, ifindex, SIDE_POD);
	flow_forget(&key);
	return 0;
}

/* Egress, with the destination that NAT has left. */
static __always_inline enum reason judge_egress(const struct sender *sender, const struct packet *p,
						struct question *q)
{
	const struct endpoint *pod = sender->pod;
	enum reason reason;

	if (!pod || sender->carried & CARRY_REPLY || p->kind == PACKET_NEIGHBOUR)
		return REASON_ALLOWED;
	q->set = 0;
	if (pod->egress.set) {
		reason = unjudgeable(p);
		if (reason)
			return reason;
		ask_about(q, &p->destination, p, p->destination_port);
		if (!judge(&pod->egress, q)) {
			forget_refused(p, sender->ifindex);
			return REASON_EGRESS;
		}
	}
	if (sender->carried & CARRY_NEW)
		report_flow(p, q, sender->ifindex);
	return REASON_ALLOWED;
}

/* Whom ingress rules are asked about: a pod of this node by its own address, which NAT cannot hide.
 */
static __always_inline const struct addr *peer_address(const struct endpoint *from,
						       const struct addr *seen, __u8 family)
{
	const struct addr *own;

	if (!from || from->flags & ENDPOINT_BRIDGE)
		return seen;
	own = own_address(from, family);
	return addr_is_zero(own) ? seen : own;
}

/* Ingress rules alone, for a packet to the pod. */
static __always_inline bool ingress_allows(const struct endpoint *pod, const struct endpoint *from,
					   const struct packet *p, struct question *q)
{
	ask_about(q, peer_address(from, &p->source, p->family), p, p->destination_port);
	return judge(&pod->ingress, q);
}

static __always_inline enum side opener_at_receiver(const struct end *at, const struct packet *p,
						    bool isolated)
{
	if (!isolated && in_grace(at->pod, p, at->now))
		return opener_by_ports(p, SIDE_REMOTE);
	return SIDE_REMOTE;
}

/* Ingress; follows the flow. The node itself reaches its pods, and a pod itself. */
static __always_inline enum reason judge_ingress(const struct end *at, const struct sender *sender,
						 const struct packet *p, struct question *q)
{
	bool isolated =
	    at->pod->ingress.set && sender->ifindex != FROM_NODE && sender->ifindex != at->ifindex;
	enum reason reason;

	if (p->kind == PACKET_NEIGHBOUR || (p->kind == PACKET_ERROR && at->flow))
		return REASON_ALLOWED;
	reason = unjudgeable(p);
	if (reason)
		return isolated ? reason : REASON_ALLOWED;
	if (is_reply(at->flow, p, SIDE_REMOTE)) {
		flow_touch(at, p, SIDE_REMOTE);
		return REASON_ALLOWED;
	}
	q->set = 0;
	if (isolated && !ingress_allows(at->pod, sender->pod, p, q)) {
		if (!sender->pod && answers_dhcp(at->pod, p))
			return REASON_ALLOWED;
		if (at->flow || !in_grace(at->pod, p, at->now))
			return REASON_INGRESS;
		flow_open(at, SIDE_POD, FROM_UNKNOWN);
		return REASON_ALLOWED;
	}
	if (at->flow && at->flow->opener == SIDE_REMOTE) {
		flow_touch(at, p, SIDE_REMOTE);
	} else if (opens_flows(p)) {
		flow_open(at, opener_at_receiver(at, p, isolated), sender->ifindex);
		count_flow(p);
		report_flow(p, q, at->ifindex);
	}
	return REASON_ALLOWED;
}

/* An answer of a pod that is isolated in egress passes as long as what it answers may come. `from`
 * is where that comes from. */
static __always_inline bool reply_may_leave(const struct end *at, __u32 from,
					    const struct packet *p, struct question *q)
{
	if (!at->pod->egress.set || !at->pod->ingress.set || from == FROM_NODE ||
	    from == at->ifindex)
		return true;
	ask_about(q, peer_address(endpoint_of(from), &p->destination, p->family), p,
		  p->source_port);
	return judge(&at->pod->ingress, q);
}

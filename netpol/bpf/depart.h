/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What a pod sends, at its host end: which flow it is of, and what later hooks have to know. */
#pragma once
#include "policy.h"

/* Who opened a connection that the programs meet midway. Rules tell more than ports. */
static __always_inline enum side opener_at_sender(const struct endpoint *pod,
						  const struct packet *p, struct question *q)
{
	if (!pod->ingress.set)
		return opener_by_ports(p, SIDE_POD);
	ask_about(q, &p->destination, p, p->source_port);
	return judge(&pod->ingress, q) ? SIDE_REMOTE : SIDE_POD;
}

/* Follows the flow; whether the packet may leave is asked where it does. Returns what to carry
 * there. */
static __always_inline __u32 follow(const struct end *at, const struct packet *p,
				    struct question *q)
{
	__u32 what = asks_dhcp(at->pod, p) ? CARRY_REPLY : 0;

	if (p->kind == PACKET_ERROR)
		return at->flow ? CARRY_REPLY : 0;
	if (is_reply(at->flow, p, SIDE_POD)) {
		if (reply_may_leave(at, at->flow->from, p, q))
			what |= CARRY_REPLY;
		flow_touch(at, p, SIDE_POD);
	} else if (at->flow && at->flow->opener == SIDE_POD) {
		flow_touch(at, p, SIDE_POD);
	} else if (in_grace(at->pod, p, at->now)) {
		flow_open(at, opener_at_sender(at->pod, p, q), FROM_UNKNOWN);
		what |= CARRY_REPLY;
	} else if (opens_flows(p)) {
		flow_open(at, SIDE_POD, 0);
		count_flow(p);
		what |= CARRY_NEW;
	}
	return what;
}

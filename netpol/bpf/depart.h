/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What a pod sends, at its host end: which flow it is of, and what later hooks have to know. */
#pragma once
#include "policy.h"

struct departure {
	struct flow_key key;
	struct flow *flow; /* as it was before the packet; stale once touched */
	const struct endpoint *pod;
	__u32 ifindex;
	__u32 carry;
	bool shortcut; /* what a flow that begins here is to say */
	__u64 now;
};

static __always_inline void open_at_sender(const struct departure *at, enum side opener, __u32 from)
{
	struct opening how = {
		.now = at->now,
		.from = from,
		.opener = opener,
		.state = FLOW_OPENED,
		.shortcut = at->shortcut,
	};

	flow_open(&at->key, &how);
}

/* Who opened a connection that the programs meet midway. Rules tell more than ports. */
static __always_inline enum side opener_at_sender(const struct endpoint *pod, const struct packet *p,
						  struct question *q)
{
	if (!pod->ingress.set)
		return opener_by_ports(p, SIDE_POD);
	ask_about(q, &p->destination, p, p->source_port);
	return judge(&pod->ingress, q) ? SIDE_REMOTE : SIDE_POD;
}

/* Follows the flow; what policy says of it is asked where the packet leaves. */
static __always_inline void follow(struct departure *at, const struct packet *p, struct question *q)
{
	if (p->kind == PACKET_ERROR) {
		if (at->flow)
			at->carry |= CARRY_REPLY;
	} else if (is_reply(at->flow, p, SIDE_POD)) {
		if (reply_may_leave(at->pod, at->ifindex, at->flow, p, q))
			at->carry |= CARRY_REPLY;
		flow_touch(&at->key, at->flow, p, SIDE_POD, at->now);
	} else if (at->flow && at->flow->opener == SIDE_POD) {
		flow_touch(&at->key, at->flow, p, SIDE_POD, at->now);
	} else if (in_grace(at->pod, p, at->now)) {
		open_at_sender(at, opener_at_sender(at->pod, p, q), FROM_UNKNOWN);
		at->carry |= CARRY_REPLY;
	} else if (opens_flows(p)) {
		open_at_sender(at, SIDE_POD, 0);
		at->carry |= CARRY_NEW;
		report_flow(p, NULL, at->ifindex);
	}
	if (asks_dhcp(at->pod, p))
		at->carry |= CARRY_REPLY;
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* From host end to host end, past the node's network stack: for flows between two routed pods that
 * no NAT touches. Netfilter's conntrack has to see both directions of a flow or none. So both ends'
 * entries say that a flow goes this way, TCP may enter it with a SYN only, and leaves it for good.
 */
#pragma once
#include "depart.h"
#include "path.h"

#define NO_SHORTCUT (ENDPOINT_BRIDGED | ENDPOINT_NO_SHORTCUT)

static __always_inline bool shortcut_is_on(void)
{
	const struct settings *now = settings_now();

	return now && now->flags & SETTING_SHORTCUT;
}

/* The pod of this node that has the destination as its own address. */
static __always_inline const struct address *find_target(const struct end *from, struct end *to,
							 const struct packet *p)
{
	const struct address *address;

	if (from->pod->flags & NO_SHORTCUT ||
	    !addr_same(own_address(from->pod, p->family), &p->source))
		return NULL;
	address = bpf_map_lookup_elem(&addresses, &p->destination);
	if (!address || !address->ifindex || address->ifindex == from->ifindex)
		return NULL;
	to->ifindex = address->ifindex;
	to->pod = endpoint_of(to->ifindex);
	if (!to->pod || to->pod->flags & NO_SHORTCUT ||
	    !addr_same(own_address(to->pod, p->family), &p->destination))
		return NULL;
	return address;
}

/* Whether both ends agree on the short way. An entry that was evicted is made anew from the other
 * end's. */
static __always_inline bool ends_agree(struct end *from, struct end *to, const struct packet *p)
{
	enum side opener;

	find_end(to, p, SIDE_REMOTE);
	from->shortcut = to->shortcut = true;
	if (!from->flow && !to->flow)
		return packet_is_syn(p);
	if (from->flow && to->flow)
		return from->flow->shortcut && to->flow->shortcut;
	if (from->flow) {
		if (!from->flow->shortcut)
			return false;
		/* Another pod may have the address of the one that opened it by now. */
		if (from->flow->opener == SIDE_REMOTE && from->flow->from != to->ifindex)
			return false;
		opener = !from->flow->opener;
		flow_open(to, opener, from->ifindex);
		find_end(to, p, SIDE_REMOTE);
		return true;
	}
	if (!to->flow->shortcut)
		return false;
	opener = !to->flow->opener;
	flow_open(from, opener, to->ifindex);
	find_end(from, p, SIDE_POD);
	return true;
}

/* Whether the packet goes the short way; `to` is then its other end. Else a flow that did so does
 * no longer. */
static __always_inline const struct address *find_shortcut(struct end *from, struct end *to,
							   const struct packet *p)
{
	const struct address *target = NULL;

	if (p->kind != PACKET_FLOW || (from->flow && !from->flow->shortcut))
		return NULL;
	if (p->protocol != IPPROTO_TCP && !from->flow)
		return NULL;
	if (shortcut_is_on()) {
		target = find_target(from, to, p);
		if (target && ends_agree(from, to, p))
			return target;
	}
	from->shortcut = false;
	if (from->flow)
		from->flow->shortcut = 0;
	return NULL;
}

/* Whether UDP could go the short way: `to_pod` knows whether NAT has touched it. */
static __always_inline bool is_direct(const struct end *from, const struct packet *p)
{
	struct end to = {};

	return p->protocol == IPPROTO_UDP && p->kind == PACKET_FLOW &&
	       !(from->flow && from->flow->state >= FLOW_ESTABLISHED) && shortcut_is_on() &&
	       find_target(from, &to, p);
}

static __always_inline struct flow *flow_of_sender(const struct sender *sender,
						   const struct packet *p)
{
	struct flow_key key;

	flow_key_of(&key, p, sender->ifindex, SIDE_POD);
	return flow_lookup(&key);
}

/* TCP came by the long way, so conntrack knows it. */
static __always_inline void leave_shortcut(const struct end *to, const struct sender *sender,
					   const struct packet *p)
{
	struct flow_key key;
	struct flow *theirs;

	if (p->protocol != IPPROTO_TCP || !to->flow || !to->flow->shortcut)
		return;
	to->flow->shortcut = 0;
	bpf_map_delete_elem(&paths, &to->key);
	if (!sender->pod)
		return;
	flow_key_of(&key, p, sender->ifindex, SIDE_POD);
	theirs = flow_lookup(&key);
	if (theirs)
		theirs->shortcut = 0;
	bpf_map_delete_elem(&paths, &key);
}

/* UDP came by the long way as its sender sent it: no NAT, so it may go the short way from now on.
 */
static __always_inline void enter_shortcut(const struct end *to, const struct sender *sender,
					   const struct packet *p)
{
	struct flow *ours, *theirs;

	if (!(sender->carried & CARRY_DIRECT) || p->protocol != IPPROTO_UDP)
		return;
	theirs = flow_of_sender(sender, p);
	ours = flow_lookup(&to->key);
	if (!theirs || !ours || theirs->opener != SIDE_POD || ours->opener != SIDE_REMOTE)
		return;
	theirs->shortcut = 1;
	ours->shortcut = 1;
}

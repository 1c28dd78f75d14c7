/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Whether a policy set allows a peer a port: at most four look-ups, whatever the policies are. */
#pragma once
#include "addr.h"
#include "maps.h"
#include "packet.h"

/* What a policy set is asked, and which cell of it answered. */
struct question {
	struct addr peer;
	__u64 class; /* 0: no known pod */
	__u64 set;
	__be16 port;
	__u8 protocol;
	__u8 family;
	__u8 port_class;
	__u8 zero[3];
};

static __always_inline void ask_about(struct question *q, const struct addr *peer,
				      const struct packet *p, __be16 port)
{
	const struct address *known = bpf_map_lookup_elem(&addresses, peer);

	q->peer = *peer;
	q->class = known ? known->class : 0;
	q->set = 0;
	q->port = port;
	q->protocol = p->protocol;
	q->family = p->family;
	q->port_class = 0;
}

static __always_inline __u8 class_of_port(const struct direction *rules, const struct question *q)
{
	struct page_key key = {.ports = rules->ports, .protocol = q->protocol};
	const struct page *page;
	__u16 port = bpf_ntohs(q->port);
	__u8 rest;

	if (q->protocol == IPPROTO_TCP)
		rest = rules->rest[0];
	else if (q->protocol == IPPROTO_UDP)
		rest = rules->rest[1];
	else if (q->protocol == IPPROTO_SCTP)
		rest = rules->rest[2];
	else
		return 0;
	if (!rules->ports)
		return rest;
	key.high = port >> 8;
	page = bpf_map_lookup_elem(&ports, &key);
	return page ? page->class[port & 0xff] : rest;
}

static __always_inline __u64 mask_of_prefix(const struct question *q)
{
	struct prefix_key key = {
	    .length = 96 + (q->family == 4 ? 32 : 128),
	    .family = q->family,
	    .set = q->set,
	};
	const __u64 *mask;

	addr_to_trie(key.address, &q->peer, q->family);
	mask = bpf_map_lookup_elem(&prefixes, &key);
	return mask ? *mask : 0;
}

static __always_inline __u64 mask_of_class(const struct question *q)
{
	struct cell_key key = {.set = q->set, .class = q->class};
	const __u64 *mask = bpf_map_lookup_elem(&cells, &key);

	return mask ? *mask : 0;
}

/* One set. Global, as all that is called from several places: the verifier looks at it once. */
__noinline bool set_allows(const struct direction *rules, struct question *q)
{
	__u64 allowed, bit;

	if (!rules || !q)
		return false;
	allowed = rules->any;
	q->set = rules->set;
	q->port_class = class_of_port(rules, q) & 63;
	bit = 1ULL << q->port_class;
	if (!(allowed & bit)) {
		if (q->class && rules->flags & DIRECTION_CELLS)
			allowed = mask_of_class(q);
		else if (!q->class && rules->flags & DIRECTION_PREFIXES)
			allowed = mask_of_prefix(q);
	}
	return allowed & bit;
}

/* The sets that the first leads to. Refusals count for the first. */
__noinline bool later_set_allows(__u64 next, struct question *q)
{
	const struct direction *rules;
	__u8 port_class;
	__u64 first;

	if (!q)
		return false;
	first = q->set;
	port_class = q->port_class;
	for (int i = 1; i < SETS_IN_A_ROW && next; i++) {
		rules = bpf_map_lookup_elem(&sets, &next);
		if (!rules)
			break;
		if (set_allows(rules, q))
			return true;
		next = rules->next;
	}
	q->set = first;
	q->port_class = port_class;
	return false;
}

/* The rules are those of a direction in which the pod is isolated. */
static __always_inline bool judge(const struct direction *rules, struct question *q)
{
	return set_allows(rules, q) || (rules->next && later_set_allows(rules->next, q));
}

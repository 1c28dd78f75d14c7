/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* From a frame to a `struct packet`. */
#pragma once
#include <linux/if_ether.h>

#include "fragment.h"
#include "ip.h"
#include "transport.h"

static __always_inline bool parse_payload(struct __sk_buff *skb, struct packet *p,
					  const struct payload *at)
{
	p->protocol = at->protocol;
	if (at->fragment_offset)
		return recall_fragment(p, at);
	if (!parse_transport(skb, p, at))
		return false;
	if (at->more && p->kind != PACKET_ERROR)
		remember_fragment(p, at);
	return true;
}

__noinline int parse(struct __sk_buff *skb, struct packet *p)
{
	struct payload at = {};
	__u8 family;

	if (!p)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		family = 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		family = 6;
	} else {
		p->kind = skb->protocol == bpf_htons(ETH_P_ARP) ? PACKET_NEIGHBOUR : PACKET_OTHER;
		return 0;
	}
	if (!read_ip(skb, 0, family, p, &at) || !parse_payload(skb, p, &at))
		p->kind = PACKET_MALFORMED;
	return 0;
}

/* At a classifier's hook, where headers may stand outside the linear part; behind `from_pod` they
 * no longer do. */
static __always_inline void parse_packet(struct __sk_buff *skb, struct packet *p)
{
	parse(skb, p);
	if (p->kind != PACKET_MALFORMED)
		return;
	make_linear(skb);
	p->kind = PACKET_FLOW;
	parse(skb, p);
}

static __always_inline void turn_round(struct packet *p)
{
	struct addr source = p->source;
	__be16 port = p->source_port;

	p->source = p->destination;
	p->destination = source;
	p->source_port = p->destination_port;
	p->destination_port = port;
}

/* Makes of an ICMP error what an answer to the packet inside it would be. False: it tells too
 * little of it. */
__noinline int look_inside(struct __sk_buff *skb, struct packet *p)
{
	struct payload at = {};
	__u8 bytes[8] = {};
	bool known;

	if (!p)
		return false;
	if (!read_ip(skb, p->body, p->family, p, &at) || at.fragment_offset)
		return false;
	p->protocol = at.protocol;
	if (has_ports(p->protocol) || is_icmp(p)) {
		if (!read_bytes(skb, at.offset, bytes, sizeof(bytes)))
			return false;
		p->source_port = *(__be16 *)bytes;
		p->destination_port = *(__be16 *)(bytes + 2);
	}
	if (is_icmp(p))
		parse_icmp(p, bytes, &at);
	known = p->kind == PACKET_FLOW || p->kind == PACKET_ANSWER || !is_icmp(p);
	/* What is inside can lie: an error it remains. */
	p->kind = PACKET_ERROR;
	turn_round(p);
	return known;
}

static __always_inline bool look_inside_packet(struct __sk_buff *skb, struct packet *p)
{
	make_linear(skb);
	return look_inside(skb, p);
}

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

/* TCP or UDP right behind an IP header without options or extensions, all of it linear: read in
 * place. False: anything else, which `parse` reads. For Ethernet devices, as pods' links are. */
static __always_inline bool parse_plain(struct __sk_buff *skb, struct packet *p)
{
	const void *at = (void *)(long)skb->data + ETH_HLEN, *end = (void *)(long)skb->data_end;
	const struct ipv6hdr *ip6 = at;
	const struct iphdr *ip4 = at;
	__u16 length;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if ((void *)(ip4 + 1) > end || *(const __u8 *)at != 0x45 ||
		    ip4->frag_off & bpf_htons(0x3fff))
			return false;
		length = bpf_ntohs(ip4->tot_len);
		if (length < sizeof(*ip4) + TCP_HEADER)
			return false;
		p->protocol = ip4->protocol;
		addr_from_v4(&p->source, ip4->saddr);
		addr_from_v4(&p->destination, ip4->daddr);
		p->family = 4;
		at = ip4 + 1;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if ((void *)(ip6 + 1) > end || ip6->version != 6)
			return false;
		length = bpf_ntohs(ip6->payload_len);
		if (length < TCP_HEADER)
			return false;
		p->protocol = ip6->nexthdr;
		__builtin_memcpy(&p->source, &ip6->saddr, sizeof(p->source));
		__builtin_memcpy(&p->destination, &ip6->daddr, sizeof(p->destination));
		if (addr_is_mapped(&p->source) || addr_is_mapped(&p->destination))
			return false;
		p->family = 6;
		p->hop_limit = ip6->hop_limit;
		at = ip6 + 1;
	} else {
		return false;
	}
	if (at + TCP_HEADER > end || (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return false;
	p->source_port = ((const __be16 *)at)[0];
	p->destination_port = ((const __be16 *)at)[1];
	if (p->protocol == IPPROTO_TCP)
		p->tcp_flags = ((const __u8 *)at)[TCP_BYTES - 1];
	return true;
}

/* The same at a pod's host end. */
static __always_inline void parse_frame(struct __sk_buff *skb, struct packet *p)
{
	if (!parse_plain(skb, p))
		parse_packet(skb, p);
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

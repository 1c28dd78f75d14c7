/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What stands behind the IP headers: ports, and what ICMP has in their place. */
#pragma once
#include <linux/icmpv6.h>

#include "packet.h"

#define ICMP_BYTES 8
#define PORTS_BYTES 8 /* of UDP and SCTP: ports, and the rest of the shortest header */
#define TCP_BYTES 14  /* to the flags, which stand in the last */
#define TCP_HEADER 20

/* RFC 792; the kernel's <linux/icmp.h> needs a C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

static __always_inline bool icmp4_is_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

static __always_inline void echo(struct packet *p, bool asks, __be16 id)
{
	p->kind = asks ? PACKET_FLOW : PACKET_ANSWER;
	p->source_port = asks ? id : 0;
	p->destination_port = asks ? 0 : id;
}

/* Neighbour discovery is never forwarded: RFC 4861 asks for a hop limit that no router has lowered,
 * and multicast listener messages go to groups of the link. A type alone would be a way past every
 * policy. */
static __always_inline bool is_link_business(const struct packet *p)
{
	if (p->type >= 133 && p->type <= 137)
		return p->hop_limit == 255;
	return ((p->type >= 130 && p->type <= 132) || p->type == 143) &&
	       addr_is_multicast6(&p->destination);
}

static __always_inline void parse_icmp(struct packet *p, const __u8 *bytes,
				       const struct payload *at)
{
	__be16 id = *(const __be16 *)(bytes + 4);

	p->type = bytes[0];
	p->body = at->offset + ICMP_BYTES;
	if (p->family == 4) {
		if (icmp4_is_error(p->type))
			p->kind = PACKET_ERROR;
		else if (p->type == ICMP_ECHO || p->type == ICMP_ECHOREPLY)
			echo(p, p->type == ICMP_ECHO, id);
		return;
	}
	if (p->type < ICMPV6_ECHO_REQUEST)
		p->kind = PACKET_ERROR;
	else if (p->type == ICMPV6_ECHO_REQUEST || p->type == ICMPV6_ECHO_REPLY)
		echo(p, p->type == ICMPV6_ECHO_REQUEST, id);
	else if (!at->fragmented && is_link_business(p)) /* RFC 6980: never in fragments */
		p->kind = PACKET_NEIGHBOUR;
}

static __always_inline bool is_icmp(const struct packet *p)
{
	return p->protocol == (p->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* The transport header, of a whole packet or a first fragment: too short for ports is malformed,
 * not unknown. */
static __always_inline bool parse_transport(struct __sk_buff *skb, struct packet *p,
					    const struct payload *at)
{
	__u8 bytes[16] = {};

	if (p->protocol == IPPROTO_TCP) {
		if (at->offset + TCP_HEADER > at->end ||
		    !read_bytes(skb, at->offset, bytes, TCP_BYTES))
			return false;
		p->tcp_flags = bytes[TCP_BYTES - 1];
	} else if (has_ports(p->protocol) || is_icmp(p)) {
		if (at->offset + PORTS_BYTES > at->end ||
		    !read_bytes(skb, at->offset, bytes, PORTS_BYTES))
			return false;
	} else {
		return true;
	}
	if (is_icmp(p)) {
		parse_icmp(p, bytes, at);
		return true;
	}
	p->source_port = *(__be16 *)bytes;
	p->destination_port = *(__be16 *)(bytes + 2);
	return true;
}

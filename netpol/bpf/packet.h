/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* From bytes to what policy asks about: addresses, protocol, ports. Nothing that a packet says of
 * its lengths is trusted: every byte is read by a helper that checks the packet's real length. */
#pragma once
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "addr.h"
#include "maps.h"

enum packet_kind {
	PACKET_FLOW = 0,   /* of a flow, which it may open */
	PACKET_ANSWER = 1, /* of a flow, which it cannot open: an ICMP echo reply */
	PACKET_ERROR = 2,  /* an ICMP error */
	PACKET_NEIGHBOUR =
	    3, /* ARP, neighbour discovery, multicast listeners: the link's own business */
	PACKET_LATER = 4, /* a later fragment whose first was not seen */
	PACKET_OTHER = 5, /* not IP */
	PACKET_MALFORMED = 6,
};

struct packet {
	struct addr source;
	struct addr destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 device;  /* where the hook is */
	__u16 body;    /* where what an ICMP message carries begins; from the network header */
	__u8 hook;     /* enum hook */
	__u8 family;   /* 4 or 6; 0: not IP */
	__u8 protocol; /* after the last extension header */
	__u8 kind;     /* enum packet_kind */
	__u8 type;     /* of an ICMP message */
	__u8 tcp_flags;
	__u8 hop_limit;
	__u8 zero[3];
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* A TCP segment that begins a connection. */
static __always_inline bool packet_is_syn(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP &&
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* Reads from the network header on, what is linear: see `parse_packet`. */
static __always_inline bool read_bytes(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
	return !bpf_skb_load_bytes_relative(skb, offset, to, length, BPF_HDR_START_NET);
}

/* Makes linear what headers may reach to. Not for socket filters. */
static __always_inline void make_linear(struct __sk_buff *skb)
{
	__u32 length = skb->len;

	bpf_skb_pull_data(skb, length < 256 ? length : 256);
}

/* What follows the IP headers. */
struct payload {
	__u32 offset;
	__u32 end; /* as the IP header says; what stands behind is padding */
	__u32 fragment_id;
	__u16 fragment_offset; /* in bytes */
	bool more;	       /* fragments follow */
	bool fragmented;
	__u8 first_protocol; /* what all fragments say */
	__u8 protocol;
};

/* RFC 792; the kernel's <linux/icmp.h> needs a C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

#define ICMP_BYTES 8
#define PORTS_BYTES 8 /* of UDP and SCTP: ports, and the rest of the shortest header */
#define TCP_BYTES 14  /* to the flags, which stand in the last */
#define TCP_HEADER 20
#define NO_END 0x7fffffff

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

static __always_inline void fragment_key_of(struct fragment_key *key, const struct packet *p,
					    const struct payload *at)
{
	key->source = p->source;
	key->destination = p->destination;
	key->ifindex = p->device;
	key->id = at->fragment_id;
	key->protocol = at->first_protocol;
}

static __always_inline void remember_fragment(const struct packet *p, const struct payload *at)
{
	struct fragment_key key = {};
	struct fragment said = {
	    .source_port = p->source_port,
	    .destination_port = p->destination_port,
	    .protocol = p->protocol,
	    .kind = p->kind,
	};

	fragment_key_of(&key, p, at);
	bpf_map_update_elem(&fragments, &key, &said, BPF_ANY);
}

static __always_inline bool recall_fragment(struct packet *p, const struct payload *at)
{
	struct fragment_key key = {};
	const struct fragment *said;

	/* RFC 3128: such a fragment would write over the flags of the first. */
	if (p->protocol == IPPROTO_TCP && at->fragment_offset < TCP_HEADER)
		return false;
	fragment_key_of(&key, p, at);
	said = bpf_map_lookup_elem(&fragments, &key);
	if (!said) {
		p->kind = PACKET_LATER;
		return true;
	}
	p->source_port = said->source_port;
	p->destination_port = said->destination_port;
	p->protocol = said->protocol;
	p->kind = said->kind;
	/* Neither opens nor closes a connection. */
	p->tcp_flags = TCP_ACK;
	return true;
}

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

static __always_inline bool read_v4(struct __sk_buff *skb, __u32 offset, struct packet *p,
				    struct payload *at)
{
	struct iphdr ip;
	__u16 fragment, length;

	if (!read_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return false;
	p->family = 4;
	addr_from_v4(&p->source, ip.saddr);
	addr_from_v4(&p->destination, ip.daddr);
	fragment = bpf_ntohs(ip.frag_off);
	length = bpf_ntohs(ip.tot_len);
	at->offset = offset + ip.ihl * 4;
	at->end =
	    length ? offset + length : NO_END; /* 0: segments that the card cuts, over 64 KiB */
	at->fragment_id = ip.id;
	at->fragment_offset = (fragment & 0x1fff) * 8;
	at->more = fragment & 0x2000;
	at->fragmented = fragment & 0x3fff;
	at->first_protocol = at->protocol = ip.protocol;
	return true;
}

/* More extension headers than this are nobody's honest packet. */
#define EXTENSIONS 8

#define IPPROTO_MOBILITY 135
#define IPPROTO_HIP 139
#define IPPROTO_SHIM6 140

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_MOBILITY || protocol == IPPROTO_HIP ||
	       protocol == IPPROTO_SHIM6;
}

/* One extension header; `at->protocol` says which, and then what follows it. */
__noinline int read_extension(struct __sk_buff *skb, struct payload *at)
{
	__u8 header[8];
	__u16 fragment;

	if (!at || !read_bytes(skb, at->offset, header, sizeof(header)))
		return false;
	if (at->protocol == IPPROTO_FRAGMENT) {
		if (at->fragmented)
			return false;
		fragment = header[2] << 8 | header[3];
		at->fragment_offset = fragment & 0xfff8;
		at->more = fragment & 1;
		at->fragmented = true;
		at->fragment_id = *(__u32 *)(header + 4);
		at->first_protocol = header[0];
		at->offset += 8;
	} else if (at->protocol == IPPROTO_AH) {
		at->offset += (header[1] + 2) * 4;
	} else {
		at->offset += (header[1] + 1) * 8;
	}
	at->protocol = header[0];
	return true;
}

static __always_inline bool read_v6(struct __sk_buff *skb, __u32 offset, struct packet *p,
				    struct payload *at)
{
	struct ipv6hdr ip;
	__u16 length;

	if (!read_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	p->family = 6;
	__builtin_memcpy(&p->source, &ip.saddr, sizeof(p->source));
	__builtin_memcpy(&p->destination, &ip.daddr, sizeof(p->destination));
	/* RFC 4291 section 2.5.5.2: never on the wire. Here they would be taken for IPv4. */
	if (addr_is_mapped(&p->source) || addr_is_mapped(&p->destination))
		return false;
	p->hop_limit = ip.hop_limit;
	length = bpf_ntohs(ip.payload_len);
	at->offset = offset + sizeof(ip);
	at->end = length ? at->offset + length : NO_END;
	at->protocol = at->first_protocol = ip.nexthdr;
	for (int i = 0; i < EXTENSIONS && is_extension(at->protocol); i++) {
		if (!read_extension(skb, at))
			return false;
		if (at->fragment_offset)
			return true;
	}
	return !is_extension(at->protocol);
}

static __always_inline bool read_ip(struct __sk_buff *skb, __u32 offset, __u8 family,
				    struct packet *p, struct payload *at)
{
	return family == 4 ? read_v4(skb, offset, p, at) : read_v6(skb, offset, p, at);
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

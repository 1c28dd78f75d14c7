/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* IP headers of both families, to where the payload begins. */
#pragma once
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "packet.h"

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

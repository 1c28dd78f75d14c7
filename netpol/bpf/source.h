/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* A pod sends from its own addresses, and from those that it was allowed besides. */
#pragma once
#include "addr.h"
#include "maps.h"
#include "parse.h"

#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547

static __always_inline bool is_among_sources(__u32 ifindex, const struct addr *address, __u8 family)
{
	struct source_key key = {
	    .length = 64 + (family == 4 ? 32 : 128),
	    .ifindex = ifindex,
	    .family = family,
	};

	addr_to_trie(key.address, address, family);
	return bpf_map_lookup_elem(&sources, &key);
}

static __always_inline bool may_use(const struct endpoint *pod, __u32 ifindex,
				    const struct addr *address, __u8 family)
{
	const struct addr *own = family == 4 ? &pod->ip4 : &pod->ip6;

	return addr_same(own, address) || is_among_sources(ifindex, address, family);
}

static __always_inline bool is_dhcp(const struct packet *p, __u16 from4, __u16 to4, __u16 from6,
				    __u16 to6)
{
	__u16 from = p->family == 4 ? from4 : from6;
	__u16 to = p->family == 4 ? to4 : to6;

	return p->protocol == IPPROTO_UDP && p->kind == PACKET_FLOW &&
	       p->source_port == bpf_htons(from) && p->destination_port == bpf_htons(to);
}

/* A pod on a bridge may get its addresses from a DHCP server of its link, whatever isolates it. */
static __always_inline bool asks_dhcp(const struct endpoint *pod, const struct packet *p)
{
	return pod->flags & ENDPOINT_BRIDGED &&
	       is_dhcp(p, DHCP_CLIENT, DHCP_SERVER, DHCP6_CLIENT, DHCP6_SERVER);
}

static __always_inline bool answers_dhcp(const struct endpoint *pod, const struct packet *p)
{
	return pod->flags & ENDPOINT_BRIDGED &&
	       is_dhcp(p, DHCP_SERVER, DHCP_CLIENT, DHCP6_SERVER, DHCP6_CLIENT);
}

/* Ethernet and IPv4, the only ARP there is (RFC 826). */
struct arp {
	__u8 header[8];
	__u8 sender_mac[6];
	__u8 sender[4];
} __attribute__((packed));

/* The sender of ARP; 0.0.0.0 asks whether an address is free (RFC 5227). */
static __always_inline bool arp_is_own(struct __sk_buff *skb, const struct endpoint *pod,
				       const struct packet *p)
{
	struct addr sender;
	struct arp arp;
	__be32 address;

	if (!read_bytes(skb, 0, &arp, sizeof(arp)))
		return false;
	__builtin_memcpy(&address, arp.sender, sizeof(address));
	addr_from_v4(&sender, address);
	return !address || may_use(pod, p->device, &sender, 4);
}

#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISEMENT 136
#define ROUTER_ADVERTISEMENT 134
#define NDP_REDIRECT 137

/* What a neighbour advertisement says is whose; and no pod is a router. */
static __always_inline bool neighbour_is_own(struct __sk_buff *skb, const struct endpoint *pod,
					     const struct packet *p)
{
	struct addr target;

	if (p->type == ROUTER_ADVERTISEMENT || p->type == NDP_REDIRECT)
		return false;
	if (p->type != NEIGHBOUR_ADVERTISEMENT)
		return true;
	if (!read_bytes(skb, p->body, &target, sizeof(target)))
		return false;
	return addr_is_link_local(&target) || may_use(pod, p->device, &target, 6);
}

__noinline bool source_is_own(struct __sk_buff *skb, const struct endpoint *pod,
			      const struct packet *p)
{
	bool bridged;

	if (!pod || !p)
		return false;
	bridged = pod->flags & ENDPOINT_BRIDGED;
	if (!(pod->flags & ENDPOINT_CHECK_SOURCE) || p->kind == PACKET_OTHER)
		return true;
	if (!p->family)
		return !bridged || arp_is_own(skb, pod, p);
	if (addr_is_unspecified(&p->source)) {
		/* Who has no address yet: DHCP, duplicate address detection, listener reports. */
		if (p->family == 6)
			return p->protocol == IPPROTO_ICMPV6;
		return is_dhcp(p, DHCP_CLIENT, DHCP_SERVER, 0, 0);
	}
	/* Link-local IPv6 addresses are the pod's to choose, and never forwarded. */
	if (!(p->family == 6 && addr_is_link_local(&p->source)) &&
	    !may_use(pod, p->device, &p->source, p->family))
		return false;
	return !(bridged && p->kind == PACKET_NEIGHBOUR) || neighbour_is_own(skb, pod, p);
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* A packet as policy sees it: addresses, protocol, ports. Nothing that a packet says of its lengths
 * is trusted: every byte is read by a helper that checks the packet's real length. */
#pragma once
#include <linux/in.h>
#include <linux/in6.h>

#include "addr.h"
#include "maps.h"

enum packet_kind {
	PACKET_FLOW = 0,      /* of a flow, which it may open */
	PACKET_ANSWER = 1,    /* of a flow, which it cannot open: an ICMP echo reply */
	PACKET_ERROR = 2,     /* an ICMP error */
	PACKET_NEIGHBOUR = 3, /* ARP, neighbour discovery, multicast listeners: the link's own */
	PACKET_LATER = 4,     /* a later fragment whose first was not seen */
	PACKET_OTHER = 5,     /* not IP */
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
	__u8 later; /* a fragment after the first, of which it has its ports */
	__u8 zero[2];
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

#define NO_END 0x7fffffff

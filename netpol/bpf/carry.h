/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What a pod's host end tells later hooks of a packet, in skb->tc_index, and who sent it. */
#pragma once
#include "maps.h"

/* Tests run programs by BPF_PROG_TEST_RUN, which can set the mark but not tc_index. */
const volatile __u32 carry_in_mark = 0;

/* The verifier wants constant offsets from the context: keeps the compiler from merging two
 * accesses into one whose offset it computes. */
#define KEEP_APART() asm volatile("" ::: "memory")

static __always_inline __u32 carried(const struct __sk_buff *skb)
{
	__u32 mark = skb->mark;

	KEEP_APART();
	return carry_in_mark ? mark : skb->tc_index;
}

static __always_inline void carry(struct __sk_buff *skb, __u32 what)
{
	if (carry_in_mark) {
		skb->mark = what;
		KEEP_APART();
	} else {
		skb->tc_index = what;
	}
}

/* Who sent a packet. The kernel keeps in skb_iif by which interface it came to the node: NAT,
 * routing and fragmentation leave that alone, tunnels clear it before the outer packet leaves. */
struct sender {
	const struct endpoint *pod; /* none: the node itself, or somebody outside */
	__u32 ifindex;		    /* of the pod's host end; FROM_NODE: the node itself */
	__u32 carried;		    /* of pods only: others have not passed `from_pod` */
};

static __always_inline void find_sender(const struct __sk_buff *skb, struct sender *sender)
{
	__u32 slot = carried(skb) & CARRY_SLOT;
	const __u32 *port;

	sender->pod = NULL;
	sender->carried = 0;
	sender->ifindex = skb->ingress_ifindex;
	if (sender->ifindex == FROM_NODE)
		return;
	sender->pod = endpoint_of(sender->ifindex);
	if (sender->pod && sender->pod->flags & ENDPOINT_BRIDGE) {
		sender->pod = NULL;
		port = slot ? bpf_map_lookup_elem(&slots, &slot) : NULL;
		if (!port)
			return;
		sender->ifindex = *port;
		sender->pod = endpoint_of(sender->ifindex);
	}
	if (sender->pod)
		sender->carried = carried(skb);
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Flows whose packets need not be judged again: one was, and nothing has changed since. Only what
 * changes nothing of its flow goes so: what begins or ends a connection is followed at both ends,
 * and so is a packet a second, which keeps the flow alive.
 */
#pragma once
#include <linux/pkt_cls.h>

#include "flow.h"

/* Tests want paths for flows that are younger than a tick. */
const volatile __u32 paths_at_once = 0;

static __always_inline __u32 generation_now(void)
{
	__u32 first = 0;
	const volatile __u32 *now = bpf_map_lookup_elem(&generation, &first);

	return now ? *now : 0;
}

/* Neither begins nor ends anything. */
static __always_inline bool is_midstream(const struct packet *p)
{
	if (p->kind != PACKET_FLOW)
		return false;
	if (p->protocol == IPPROTO_TCP)
		return !(p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST));
	return p->protocol == IPPROTO_UDP;
}

/* The pod's end gets the packet as if its host end had sent it. `macs` are the pod's and the host
 * end's. */
static __always_inline int send_to_pod(struct __sk_buff *skb, __u32 ifindex, const __u8 *macs)
{
	__u8 header[12];

	__builtin_memcpy(header, macs, sizeof(header));
	bpf_skb_store_bytes(skb, 0, header, sizeof(header), 0);
	return bpf_redirect_peer(ifindex, 0);
}

#define NO_PATH TC_ACT_UNSPEC

__noinline int take_path(struct __sk_buff *skb, const struct packet *p)
{
	const struct path *path;
	struct flow_key key;

	if (!p || !is_midstream(p))
		return NO_PATH;
	flow_key_of(&key, p, p->device, SIDE_POD);
	path = bpf_map_lookup_elem(&paths, &key);
	if (!path || path->generation != generation_now() || path->until <= clock_now())
		return NO_PATH;
	return send_to_pod(skb, path->ifindex, path->pod_mac);
}

/* Lets the packets that follow this one take its path, once both sides are real. Many connections
 * are over within a tick: for those it is not worth its entry. `judged_in` is the generation from
 * before the packet was judged: what has changed meanwhile makes the path void. */
__noinline int remember_path(const struct flow_key *of, const struct address *target,
			     const struct packet *p, __u64 now, __u32 judged_in)
{
	struct path path = {.until = now + SECOND, .generation = judged_in};
	const struct flow *flow;
	struct flow_key key;

	if (!of || !target || !p || !is_midstream(p))
		return 0;
	key = *of;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->state != FLOW_ESTABLISHED || (flow->seen >= now && !paths_at_once))
		return 0;
	path.ifindex = target->ifindex;
	__builtin_memcpy(path.pod_mac, target->pod_mac, sizeof(path.pod_mac));
	__builtin_memcpy(path.host_mac, target->host_mac, sizeof(path.host_mac));
	bpf_map_update_elem(&paths, &key, &path, BPF_ANY);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Counters, which are exact, and events, which are a sample: a full ring costs an event, never a
 * packet. */
#pragma once
#include "maps.h"
#include "packet.h"
#include "verdict.h"

static __always_inline void count(void *map, __u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(map, &index);

	if (counter)
		*counter += 1;
}

static __always_inline void count_verdict(const struct question *q, enum reason reason)
{
	struct verdict_key key = {
	    .set = q->set,
	    .class = q->class,
	    .port_class = q->port_class,
	    .reason = reason,
	};
	__u64 *counter = bpf_map_lookup_elem(&verdicts, &key);
	__u64 one = 1;

	if (counter)
		*counter += 1;
	else
		bpf_map_update_elem(&verdicts, &key, &one, BPF_ANY);
}

static __always_inline void tell(const struct packet *p, const struct question *q, __u32 endpoint,
				 enum reason reason)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(&lost, 0);
		return;
	}
	event->time = bpf_ktime_get_ns();
	event->set = q ? q->set : 0;
	event->class = q ? q->class : 0;
	event->source = p->source;
	event->destination = p->destination;
	event->source_port = p->source_port;
	event->destination_port = p->destination_port;
	event->ifindex = p->device;
	event->endpoint = endpoint;
	event->protocol = p->protocol;
	event->reason = reason;
	event->hook = p->hook;
	event->port_class = q ? q->port_class : 0;
	bpf_ringbuf_submit(event, 0);
}

/* A packet was refused; `endpoint` is the pod that was judged. */
__noinline int report_drop(const struct packet *p, const struct question *q, __u32 endpoint,
			   __u32 reason)
{
	if (!p || reason >= REASONS)
		return 0;
	count(&drops, p->hook * REASONS + reason);
	if (q && (reason == REASON_INGRESS || reason == REASON_EGRESS))
		count_verdict(q, reason);
	tell(p, q, endpoint, reason);
	return 0;
}

static __always_inline bool is_sampled(void)
{
	const struct settings *now = settings_now();

	return now && now->sample && bpf_get_prandom_u32() % now->sample == 0;
}

static __always_inline void count_flow(const struct packet *p)
{
	count(&drops, p->hook * REASONS + REASON_ALLOWED);
}

/* A policy set, or none, has allowed the first packet of a flow. */
__noinline int report_flow(const struct packet *p, const struct question *q, __u32 endpoint)
{
	if (!p || !q)
		return 0;
	if (q->set)
		count_verdict(q, REASON_ALLOWED);
	if (is_sampled())
		tell(p, q, endpoint, REASON_ALLOWED);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What layout.h comes to. Never loaded: a test compares datapath/src/layout.rs with it. */
#include <stddef.h>

#include "layout.h"

struct record {
	char name[48];
	__u64 value;
};

/* The formatter takes the names for directives and the list for arguments. */
/* clang-format off */
#define SIZE(type) { #type, sizeof(struct type) }
#define OFFSET(type, field) { #type "." #field, offsetof(struct type, field) }
#define NUMBER(name) { #name, name }

const struct record records[] __attribute__((section("layout"))) = {
	SIZE(addr),
	SIZE(page),

	SIZE(direction),
	OFFSET(direction, set),
	OFFSET(direction, any),
	OFFSET(direction, ports),
	OFFSET(direction, next),
	OFFSET(direction, flags),
	OFFSET(direction, rest),

	SIZE(endpoint),
	OFFSET(endpoint, ingress),
	OFFSET(endpoint, egress),
	OFFSET(endpoint, ip4),
	OFFSET(endpoint, ip6),
	OFFSET(endpoint, grace_until),
	OFFSET(endpoint, flags),
	OFFSET(endpoint, slot),

	SIZE(address),
	OFFSET(address, class),
	OFFSET(address, ifindex),
	OFFSET(address, pod_mac),
	OFFSET(address, host_mac),

	SIZE(cell_key),
	OFFSET(cell_key, set),
	OFFSET(cell_key, class),

	SIZE(page_key),
	OFFSET(page_key, ports),
	OFFSET(page_key, protocol),
	OFFSET(page_key, high),

	SIZE(prefix_key),
	OFFSET(prefix_key, family),
	OFFSET(prefix_key, set),
	OFFSET(prefix_key, address),

	SIZE(source_key),
	OFFSET(source_key, ifindex),
	OFFSET(source_key, family),
	OFFSET(source_key, address),

	SIZE(flow_key),
	OFFSET(flow_key, local),
	OFFSET(flow_key, remote),
	OFFSET(flow_key, ifindex),
	OFFSET(flow_key, local_port),
	OFFSET(flow_key, remote_port),
	OFFSET(flow_key, protocol),

	SIZE(flow),
	OFFSET(flow, seen),
	OFFSET(flow, opener),
	OFFSET(flow, state),
	OFFSET(flow, fins),
	OFFSET(flow, from),
	OFFSET(flow, local),
	OFFSET(flow, judged),

	SIZE(fragment_key),
	OFFSET(fragment_key, source),
	OFFSET(fragment_key, destination),
	OFFSET(fragment_key, ifindex),
	OFFSET(fragment_key, id),
	OFFSET(fragment_key, protocol),

	SIZE(fragment),
	OFFSET(fragment, source_port),
	OFFSET(fragment, destination_port),
	OFFSET(fragment, protocol),
	OFFSET(fragment, kind),

	SIZE(settings),
	OFFSET(settings, flags),
	OFFSET(settings, sample),

	SIZE(verdict_key),
	OFFSET(verdict_key, set),
	OFFSET(verdict_key, class),
	OFFSET(verdict_key, port_class),
	OFFSET(verdict_key, reason),

	SIZE(event),
	OFFSET(event, time),
	OFFSET(event, set),
	OFFSET(event, class),
	OFFSET(event, source),
	OFFSET(event, destination),
	OFFSET(event, source_port),
	OFFSET(event, destination_port),
	OFFSET(event, ifindex),
	OFFSET(event, endpoint),
	OFFSET(event, protocol),
	OFFSET(event, reason),
	OFFSET(event, hook),
	OFFSET(event, port_class),

	NUMBER(DIRECTION_CELLS),
	NUMBER(DIRECTION_PREFIXES),
	NUMBER(ENDPOINT_CHECK_SOURCE),
	NUMBER(ENDPOINT_BRIDGED),
	NUMBER(ENDPOINT_BRIDGE),
	NUMBER(ENDPOINT_NO_SHORTCUT),
	NUMBER(SETTING_SHORTCUT),
	NUMBER(FROM_NODE),
	NUMBER(FROM_UNKNOWN),
	NUMBER(SIDE_REMOTE),
	NUMBER(SIDE_POD),
	NUMBER(FLOW_OPENED),
	NUMBER(FLOW_ANSWERED),
	NUMBER(FLOW_ESTABLISHED),
	NUMBER(FLOW_CLOSING),
	NUMBER(CARRY_REPLY),
	NUMBER(CARRY_DIRECT),
	NUMBER(CARRY_NEW),
	NUMBER(CARRY_SLOT),

	NUMBER(REASON_ALLOWED),
	NUMBER(REASON_INGRESS),
	NUMBER(REASON_EGRESS),
	NUMBER(REASON_SOURCE),
	NUMBER(REASON_MALFORMED),
	NUMBER(REASON_FRAGMENT),
	NUMBER(REASON_ICMP_ERROR),
	NUMBER(REASON_NOT_IP),
	NUMBER(REASON_STARTING),
	NUMBER(REASONS),
	NUMBER(HOOK_FROM_POD),
	NUMBER(HOOK_TO_POD),
	NUMBER(HOOK_TO_WIRE),
	NUMBER(HOOK_TO_NODE),
	NUMBER(HOOKS),
};

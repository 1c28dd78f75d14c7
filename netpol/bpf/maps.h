/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* The maps. The agent makes, sizes and pins them; layout.h says what is in each. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

#define MAP(name, kind, key_type, value_type, entries, options)                                    \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, entries);                                                      \
		__uint(map_flags, options);                                                        \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define HASH BPF_MAP_TYPE_HASH
#define TRIE BPF_MAP_TYPE_LPM_TRIE
#define LRU BPF_MAP_TYPE_LRU_HASH
#define LAZY BPF_F_NO_PREALLOC

MAP(endpoints, HASH, __u32, struct endpoint, 4096, LAZY);
MAP(slots, HASH, __u32, __u32, 16384, LAZY);
MAP(addresses, HASH, struct addr, struct address, 131072, LAZY);
MAP(sets, HASH, __u64, struct direction, 16384, LAZY);
MAP(cells, HASH, struct cell_key, __u64, 1048576, LAZY);
MAP(ports, HASH, struct page_key, struct page, 16384, LAZY);
MAP(prefixes, TRIE, struct prefix_key, __u64, 262144, LAZY);
MAP(sources, TRIE, struct source_key, __u8, 16384, LAZY);
MAP(flows, LRU, struct flow_key, struct flow, 131072, 0);
MAP(flows_new, LRU, struct flow_key, struct flow, 131072, 0);
MAP(fragments, LRU, struct fragment_key, struct fragment, 8192, 0);
MAP(settings, BPF_MAP_TYPE_ARRAY, __u32, struct settings, 1, 0);
MAP(generation, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1, 0);
MAP(drops, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, HOOKS *REASONS, 0);
MAP(lost, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 1, 0);
MAP(verdicts, BPF_MAP_TYPE_LRU_PERCPU_HASH, struct verdict_key, __u64, 16384, 0);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1048576);
} events SEC(".maps");

static __always_inline struct endpoint *endpoint_of(__u32 ifindex)
{
	return bpf_map_lookup_elem(&endpoints, &ifindex);
}

static __always_inline const struct settings *settings_now(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&settings, &first);
}

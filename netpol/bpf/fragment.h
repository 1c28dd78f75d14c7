/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Fragments: only the first has ports, so what it said is remembered for the later ones. */
#pragma once
#include "transport.h"

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
	p->later = true;
	/* Neither opens nor closes a connection. */
	p->tcp_flags = TCP_ACK;
	return true;
}

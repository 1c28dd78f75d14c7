/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* Addresses of both families as 16 bytes. */
#pragma once
#include <stdbool.h>
#include <bpf/bpf_endian.h>

#include "layout.h"

#define V4_MAPPED bpf_htonl(0xffff)

static __always_inline void addr_from_v4(struct addr *to, __be32 v4)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = V4_MAPPED;
	to->word[3] = v4;
}

static __always_inline bool addr_same(const struct addr *a, const struct addr *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

/* An order, whichever. */
static __always_inline bool addr_before(const struct addr *a, const struct addr *b)
{
	for (int i = 3; i > 0; i--)
		if (a->word[i] != b->word[i])
			return a->word[i] < b->word[i];
	return a->word[0] < b->word[0];
}

static __always_inline bool addr_is_zero(const struct addr *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline bool addr_is_mapped(const struct addr *a)
{
	return !(a->word[0] | a->word[1]) && a->word[2] == V4_MAPPED;
}

/* 0.0.0.0 or :: */
static __always_inline bool addr_is_unspecified(const struct addr *a)
{
	return !a->word[3] && (addr_is_mapped(a) || addr_is_zero(a));
}

/* fe80::/10 */
static __always_inline bool addr_is_link_local(const struct addr *a)
{
	return (a->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* ff00::/8 */
static __always_inline bool addr_is_multicast6(const struct addr *a)
{
	return (a->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* The address as keys of tries have it: IPv4 in the first four bytes. */
static __always_inline void addr_to_trie(__u8 to[16], const struct addr *a, __u8 family)
{
	__be32 *words = (__be32 *)to;

	words[0] = family == 4 ? a->word[3] : a->word[0];
	words[1] = family == 4 ? 0 : a->word[1];
	words[2] = family == 4 ? 0 : a->word[2];
	words[3] = family == 4 ? 0 : a->word[3];
}

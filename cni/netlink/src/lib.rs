//! Typed, synchronous netlink: links, addresses, routes, neighbours, rules, nexthops, nftables, namespaces.

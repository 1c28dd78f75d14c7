//! What agent and plugin agree on: the node file and the constants that mark what is ours.

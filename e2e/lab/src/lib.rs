//! Nodes as bare network namespaces, for fast tests of the plugin and the agent.

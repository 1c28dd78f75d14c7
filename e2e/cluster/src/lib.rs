//! A real Kubernetes cluster in network namespaces of this machine.
//!
//! A cluster is a handful of *members*, each a process that is pid 1 of its own namespaces and
//! the parent of all that runs in them: the control plane with the underlay's switch (`cp`), the
//! nodes (`n1`, `n2`, …), the world beyond the cluster network (`outside`), and a forwarder that
//! gives the machine's own network one port to the API server (`api`). Namespaces and mounts live
//! as long as their member and no longer, so ending the members ends the cluster.
//!
//! All state is the cluster's folder: [`plan::Cluster`] describes it, [`member`] says which
//! process is which. Nothing is mounted, installed or configured on the machine itself; control
//! groups are the one exception, and `down` removes them.

mod certs;
mod cgroup;
mod chart;
mod churn;
pub mod cli;
mod controlplane;
mod demo;
mod down;
mod enter;
mod forward;
mod init;
mod kubectl;
mod leases;
mod member;
mod network;
mod node;
mod node_state;
mod plan;
mod poll;
mod preflight;
mod progress;
mod reference;
mod stage;
mod status;
mod supervisor;
mod this;
mod trial;
mod underlay;
mod up;
mod upstream;
mod workload;

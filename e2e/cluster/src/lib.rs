//! A real Kubernetes cluster in network namespaces of this machine.

//! The Kubernetes objects Fairlead reads, reduced to the fields it uses.

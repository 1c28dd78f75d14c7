//! Container images as OCI layout tarballs, assembled without a registry.

//! Address pools, the allocator and its crash-safe lease file.

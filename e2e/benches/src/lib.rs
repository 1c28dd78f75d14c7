//! Side-by-side benches against the peers, printed as ratios.

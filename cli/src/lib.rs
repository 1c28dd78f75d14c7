//! `fairlead`: what an operator does on a node by hand.

//! CNI wire types: network configuration, environment, results and errors.

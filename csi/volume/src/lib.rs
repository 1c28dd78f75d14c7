//! Volumes as Fairlead sees them: ids, tags, parameters, sizes and the checks of requests.

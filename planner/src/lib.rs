//! Where model calls become plan nodes.

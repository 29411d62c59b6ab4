//! Sync operator.

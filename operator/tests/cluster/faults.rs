//! Tests of what all namespaces share. They have the cluster to themselves.

mod everywhere;
mod upgrade;

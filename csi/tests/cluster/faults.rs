//! Parts of the cluster that die, hang and come back. One case at a time, because each breaks what all share.

mod api_server;
mod kills;
mod kubelet;
mod upgrade;

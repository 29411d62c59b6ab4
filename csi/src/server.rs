//! gRPC over Unix sockets: who may connect, how much they may send, and how serving ends.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::{Connected, Router};
use tonic::transport::{Error, Server};

use crate::authority;
use crate::identity::{IdentityService, Readiness, RegistrationService};
use crate::node::NodeService;
use crate::proto::csi::identity_server::IdentityServer;
use crate::proto::csi::node_server::NodeServer;
use crate::proto::registration::registration_server::RegistrationServer;
use crate::settings::Settings;
use crate::source::Source;
use crate::start::Listeners;
use crate::volumes::Volumes;

/// Largest message: tokens and attributes take a few KiB.
const MAX_MESSAGE: usize = 1 << 20;
/// Calls at a time on one connection; kubelet makes one for each call.
const MAX_CALLS: u32 = 256;

/// How long to wait after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves all names of the driver until `stop` says so, and the calls that run then have ended.
pub(crate) async fn serve<S: Source>(
    drivers: Vec<Listeners>,
    settings: &Settings,
    volumes: &Arc<Volumes<S>>,
    readiness: &Readiness,
    stop: &watch::Receiver<bool>,
) -> Result<(), io::Error> {
    let mut serving = tokio::task::JoinSet::new();
    for listeners in drivers {
        let node = NodeService {
            driver: listeners.driver.clone(),
            node_name: settings.node_name.clone(),
            kubelet: settings.kubelet_dir.clone(),
            volumes: volumes.clone(),
        };
        let identity = IdentityService {
            driver: listeners.driver.clone(),
            readiness: readiness.clone(),
        };
        let registration = RegistrationService {
            driver: listeners.driver,
            endpoint: listeners.endpoint.display().to_string(),
            readiness: readiness.clone(),
        };
        let csi = server()
            .add_service(IdentityServer::new(identity).max_decoding_message_size(MAX_MESSAGE))
            .add_service(NodeServer::new(node).max_decoding_message_size(MAX_MESSAGE));
        let registration = server().add_service(
            RegistrationServer::new(registration).max_decoding_message_size(MAX_MESSAGE),
        );
        serving.spawn(run(csi, incoming(listeners.csi)?, stop.clone()));
        serving.spawn(run(
            registration,
            incoming(listeners.registration)?
                .map(|connection| connection.map(authority::corrected)),
            stop.clone(),
        ));
    }
    while let Some(ended) = serving.join_next().await {
        ended.map_err(io::Error::other)?.map_err(io::Error::other)?;
    }
    Ok(())
}

fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_CALLS)
        .concurrency_limit_per_connection(MAX_CALLS as usize)
}

async fn run<C>(
    server: Router,
    incoming: impl Stream<Item = io::Result<C>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let stopped = async move {
        // An error is the end of whoever could say stop.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    server.serve_with_incoming_shutdown(incoming, stopped).await
}

/// Connections of root. The socket's mode says the same; this also holds for a descriptor that was passed on.
fn incoming(listener: StdListener) -> io::Result<impl Stream<Item = io::Result<UnixStream>>> {
    let connections = UnixListenerStream::new(UnixListener::from_std(listener)?);
    let checked = connections.then(async |connection| match connection {
        Ok(stream) => of_root(stream),
        // Such as too many open files: the next one may work, but not at once.
        Err(error) => {
            tracing::warn!("cannot accept a connection: {error}");
            tokio::time::sleep(PAUSE).await;
            None
        }
    });
    Ok(checked.filter_map(|stream| stream.map(Ok)))
}

fn of_root(stream: UnixStream) -> Option<UnixStream> {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 => Some(stream),
        Ok(peer) => {
            tracing::warn!(
                "refused a connection of user {}: only root may call",
                peer.uid()
            );
            None
        }
        Err(error) => {
            tracing::warn!("refused a connection of nobody knows whom: {error}");
            None
        }
    }
}

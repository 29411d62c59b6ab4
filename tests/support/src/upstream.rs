//! A real server behind a scripted one, which answers all that the script lets through: a proxy that breaks what a test wants broken.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::scripted::Request;

/// A server that speaks HTTP over TLS on 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Upstream {
    port: u16,
    config: Arc<ClientConfig>,
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(port: u16, config: ClientConfig) -> Self {
        Self {
            port,
            config: Arc::new(config),
        }
    }

    /// Sends `request` on a connection of its own, and what comes back to `client` as it comes, until either goes away.
    pub(crate) fn answer(&self, request: &Request, client: &mut dyn Write) -> io::Result<()> {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let tls =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        let mut server = StreamOwned::new(tls, socket);
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
        for (name, value) in &request.headers {
            if name != "connection" {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("connection: close\r\n\r\n");
        server.write_all(head.as_bytes())?;
        server.write_all(&request.body)?;
        server.flush()?;
        let mut buffer = [0; 16 * 1024];
        loop {
            // The end comes without notice when the server closes the connection at once.
            let length = server.read(&mut buffer).unwrap_or(0);
            if length == 0 {
                return Ok(());
            }
            client.write_all(&buffer[..length])?;
            client.flush()?;
        }
    }
}

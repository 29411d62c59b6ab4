//! A server that answers what a real one never would: cut bodies, hostile JSON, endless silence.
//!
//! It remembers every request before it answers. It is never a substitute for a real server where a real one can give
//! the answer.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::Identity;
use crate::upstream::Upstream;

/// How long a connection may be silent, and how long [`Answer::Stall`] lasts: longer than any client under test waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a free port of 127.0.0.1. Ends when dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    https: bool,
    shared: Arc<Shared>,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which connection it came on, from 0
    pub connection: usize,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query, as sent
    pub path: String,
    /// Names in lower case, in order
    pub headers: Vec<(String, String)>,
    /// The body, by its Content-Length
    pub body: Vec<u8>,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Send these bytes as they are, then close.
    Raw(Vec<u8>),
    /// Send these bytes as they are, then wait for the next request on the connection.
    KeepAlive(Vec<u8>),
    /// Send these bytes, then nothing more, with the connection open.
    Stall(Vec<u8>),
    /// Close without a byte.
    Close,
    /// Have this server answer, then close.
    Forward(Upstream),
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    tls: Option<Arc<ServerConfig>>,
    ended: AtomicBool,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

// === impl Answer ===

impl Answer {
    /// A well-formed answer with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Self {
        Self::KeepAlive(
            format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        )
    }

    /// A script that gives these answers one after the other, and the last one ever after.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn in_turn(answers: Vec<Self>) -> impl Fn(&Request) -> Self + Send + Sync + 'static {
        assert!(!answers.is_empty(), "a server needs an answer");
        let left = Mutex::new(VecDeque::from(answers));
        move |_| {
            let mut left = left.lock().expect("nobody panics with it");
            if left.len() > 1 {
                left.pop_front().expect("there are two")
            } else {
                left[0].clone()
            }
        }
    }
}

// === impl Request ===

impl Request {
    /// The first header of this name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn read(stream: &mut BufReader<impl Read>, connection: usize) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut request = Self {
            connection,
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = request
            .header("content-length")
            .and_then(|text| text.parse().ok());
        request.body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

// === impl ScriptedServer ===

impl ScriptedServer {
    /// An HTTP server that answers each request with what `script` returns for it.
    #[must_use]
    pub fn http(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, Box::new(script))
    }

    /// The same over TLS, showing `identity`.
    #[must_use]
    pub fn https(
        identity: &Identity,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::new(identity.server_config())), Box::new(script))
    }

    fn start(tls: Option<Arc<ServerConfig>>, script: Box<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let shared = Arc::new(Shared {
            script,
            requests: Mutex::default(),
            ended: AtomicBool::new(false),
            tls,
        });
        let server = Self {
            address,
            https: shared.tls.is_some(),
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || shared.accept(&listener));
        server
    }

    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, in the order in which they were read.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared
            .requests
            .lock()
            .expect("no script panics")
            .clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener; if nothing listens any more, all the better.
        drop(TcpStream::connect(self.address));
    }
}

// === impl Shared ===

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for (connection, stream) in listener.incoming().enumerate() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let shared = Arc::clone(&self);
            // A client that goes away ends its connection: that is often what is tested.
            thread::spawn(move || drop(shared.connection(stream, connection)));
        }
    }

    fn connection(&self, socket: TcpStream, number: usize) -> io::Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let handle = socket.try_clone()?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(tls, socket))
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some(request) = Request::read(&mut stream, number)? {
            let answer = (self.script)(&request);
            self.requests
                .lock()
                .expect("no script panics")
                .push(request.clone());
            match answer {
                Answer::KeepAlive(bytes) => send(stream.get_mut(), &bytes)?,
                Answer::Raw(bytes) => {
                    send(stream.get_mut(), &bytes)?;
                    break;
                }
                Answer::Stall(bytes) => {
                    send(stream.get_mut(), &bytes)?;
                    thread::sleep(PATIENCE);
                    break;
                }
                Answer::Close => break,
                Answer::Forward(upstream) => {
                    upstream.answer(&request, stream.get_mut())?;
                    break;
                }
            }
        }
        handle.shutdown(Shutdown::Both)
    }
}

fn send(stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, StreamOwned};

    use super::*;
    use crate::Authority;

    const POST: &str =
        "POST /v1/a?b=c HTTP/1.1\r\nX-Vault-Token: t\r\nContent-Length: 4\r\n\r\nbody";
    const GET: &str = "GET /v1/x HTTP/1.1\r\n\r\n";

    /// What comes back for `request` until the server closes.
    fn ask(mut stream: impl Read + Write, request: &str) -> String {
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut answer = Vec::new();
        // Over TLS the end comes without notice, as it does from a server that dies.
        drop(stream.read_to_end(&mut answer));
        String::from_utf8(answer).expect("these answers are text")
    }

    fn connect(server: &ScriptedServer) -> TcpStream {
        TcpStream::connect(server.address()).expect("the server listens")
    }

    fn connect_tls(server: &ScriptedServer, authority: &Authority) -> impl Read + Write {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let config = Arc::new(authority.client_config());
        let client = ClientConnection::new(config, name).expect("a valid configuration");
        StreamOwned::new(client, connect(server))
    }

    #[test]
    fn requests_are_recorded_and_answers_come_in_turn_as_they_are() {
        let raw = |text: &str| Answer::Raw(text.into());
        let server = ScriptedServer::http(Answer::in_turn(vec![
            Answer::json(200, "{}"),
            raw("garbage"),
            Answer::Close,
            raw("last"),
        ]));
        let both = ask(connect(&server), &format!("{POST}{GET}"));
        assert!(
            both.starts_with("HTTP/1.1 200 ") && both.ends_with("\r\n\r\n{}garbage"),
            "{both}"
        );
        let answers: Vec<_> = (0..3).map(|_| ask(connect(&server), GET)).collect();
        assert_eq!(answers, ["", "last", "last"]);

        let requests = server.requests();
        let seen: Vec<_> = requests
            .iter()
            .map(|request| {
                (
                    request.connection,
                    request.method.as_str(),
                    request.path.as_str(),
                )
            })
            .collect();
        let get = |connection| (connection, "GET", "/v1/x");
        assert_eq!(
            seen,
            [(0, "POST", "/v1/a?b=c"), get(0), get(1), get(2), get(3)]
        );
        assert_eq!(requests[0].header("x-vault-token"), Some("t"));
        assert_eq!(requests[0].body, b"body");
    }

    #[test]
    fn a_stalled_answer_neither_goes_on_nor_ends() {
        let server = ScriptedServer::http(|_| Answer::Stall(b"HTTP/1.1".into()));
        let mut stream = connect(&server);
        stream.write_all(GET.as_bytes()).unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1");
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let error = stream.read(&mut answer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn tls_clients_see_the_identity_and_trust_its_authority_alone() {
        let authority = Authority::new();
        let script = |_: &Request| Answer::Raw(b"hello".into());
        let server = ScriptedServer::https(&authority.issue(&["127.0.0.1"]), script);
        assert_eq!(ask(connect_tls(&server, &authority), GET), "hello");

        let refused = |server: &ScriptedServer, authority: &Authority| {
            let error = connect_tls(server, authority)
                .write_all(GET.as_bytes())
                .unwrap_err();
            error.to_string()
        };
        let message = refused(&server, &Authority::new());
        assert!(message.contains("UnknownIssuer"), "{message}");
        let expired = ScriptedServer::https(&authority.issue_expired(&["127.0.0.1"]), script);
        let message = refused(&expired, &authority);
        assert!(message.contains("expired"), "{message}");
        assert_eq!(expired.requests(), []);
    }

    #[test]
    fn a_dropped_server_refuses_connections() {
        let server = ScriptedServer::http(|_| Answer::Close);
        let address = server.address();
        drop(server);
        crate::eventually("the port is closed", PATIENCE, || {
            TcpStream::connect(address).is_err().then_some(())
        });
    }
}

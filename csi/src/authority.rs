//! HTTP/2 as kubelet's plugin watcher speaks it, for a server that is strict about it.
//!
//! The watcher names the socket's path, percent-encoded, as `:authority` (grpc-go for a target without a scheme;
//! kubernetes#107093, hyperium/h2#487). That is none by RFC 3986, so the stream would be refused before its call is looked
//! at. Here each header block of the client's is read and written again with `localhost` instead. Answers pass as they
//! are. Only the registration socket needs it: for CSI calls kubelet says `localhost` itself.

use std::io;

use loona_hpack::{Decoder, Encoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::UnixStream;

/// RFC 9113, section 3.4.
const PREFACE: usize = 24;
/// RFC 9113, section 4.1.
const FRAME_HEADER: usize = 9;
/// What a server that has not said otherwise accepts (RFC 9113, section 4.2), in bytes.
const MAX_FRAME: usize = 1 << 14;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
/// A header block that neither begins with a priority nor is padded.
const PLAIN: u8 = 0x8 | 0x20;

/// The same connection with a proper authority.
pub(crate) fn corrected(stream: UnixStream) -> DuplexStream {
    let (server, ours) = duplex(4 * MAX_FRAME);
    tokio::spawn(async move {
        let (from_client, mut to_client) = stream.into_split();
        let (mut from_server, to_server) = split(ours);
        let both = tokio::try_join!(correct(from_client, to_server), async {
            tokio::io::copy(&mut from_server, &mut to_client)
                .await
                .map(drop)
        });
        if let Err(error) = both {
            tracing::debug!("a connection of kubelet's plugin watcher ended: {error}");
        }
    });
    server
}

/// Copies frames until the client closes.
async fn correct(
    mut client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut preface = [0; PREFACE];
    client.read_exact(&mut preface).await?;
    server.write_all(&preface).await?;
    let mut headers = HeaderBlocks::default();
    loop {
        let mut head = [0; FRAME_HEADER];
        match client.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other?,
        };
        let [a, b, c, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::other("a frame is too large"));
        }
        let mut payload = vec![0; length];
        client.read_exact(&mut payload).await?;
        if kind == HEADERS || kind == CONTINUATION {
            payload = headers.correct(kind, flags, &payload)?;
            let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
            head[..3].copy_from_slice(&[a, b, c]);
        }
        server.write_all(&head).await?;
        server.write_all(&payload).await?;
        server.flush().await?;
    }
    server.shutdown().await
}

/// Both ends of the compression, which depends on all blocks before.
#[derive(Default)]
struct HeaderBlocks {
    decoder: Decoder<'static>,
    encoder: Encoder<'static>,
}

// === impl HeaderBlocks ===

impl HeaderBlocks {
    fn correct(&mut self, kind: u8, flags: u8, block: &[u8]) -> io::Result<Vec<u8>> {
        // Kubelet's headers are short, and its library sends them so.
        if kind == CONTINUATION || flags & END_HEADERS == 0 || flags & PLAIN != 0 {
            return Err(io::Error::other("a header block is not in one plain frame"));
        }
        let headers = self.decoder.decode(block);
        let mut headers =
            headers.map_err(|_malformed| io::Error::other("a header block is malformed"))?;
        for (name, value) in &mut headers {
            if name.as_slice() == b":authority" {
                *value = b"localhost".to_vec();
            }
        }
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()));
        Ok(self.encoder.encode(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[tokio::test]
    async fn the_authority_is_replaced_and_nothing_else() {
        let mut client = Encoder::default();
        let block = |client: &mut Encoder<'_>, path: &[u8]| {
            client.encode([
                (b":method".as_slice(), b"POST".as_slice()),
                (b":path", path),
                (
                    b":authority",
                    b"%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fa-reg.sock",
                ),
            ])
        };
        let data = frame(0, 1, b"message");
        // The second block refers to what the first one left in the table.
        let sent = [
            vec![b'x'; PREFACE],
            frame(HEADERS, END_HEADERS, &block(&mut client, b"/a")),
            data.clone(),
            frame(HEADERS, END_HEADERS, &block(&mut client, b"/b")),
        ];
        let mut received = Vec::new();
        correct(sent.concat().as_slice(), &mut received)
            .await
            .unwrap();
        let mut rest = received.strip_prefix(&[b'x'; PREFACE]).unwrap();
        let mut server = Decoder::default();
        for path in [b"/a", b"/b"] {
            let length = usize::from(rest[2]);
            let headers = server
                .decode(&rest[FRAME_HEADER..FRAME_HEADER + length])
                .unwrap();
            let expected: [(&[u8], &[u8]); 3] = [
                (b":method", b"POST"),
                (b":path", path),
                (b":authority", b"localhost"),
            ];
            let found: Vec<_> = headers
                .iter()
                .map(|(n, v)| (n.as_slice(), v.as_slice()))
                .collect();
            assert_eq!(found, expected);
            rest = &rest[FRAME_HEADER + length..];
            rest = rest.strip_prefix(data.as_slice()).unwrap_or(rest);
        }
        assert!(rest.is_empty());
    }

    #[tokio::test]
    async fn what_is_not_understood_ends_the_connection() {
        for wrong in [
            frame(HEADERS, 0, b""),
            frame(HEADERS, END_HEADERS | 0x8, b"\0"),
            frame(CONTINUATION, END_HEADERS, b""),
            frame(HEADERS, END_HEADERS, b"\xff\xff\xff\xff\xff\xff"),
            vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
        ] {
            let sent = [vec![b'x'; PREFACE], wrong.clone()].concat();
            let outcome = correct(sent.as_slice(), Vec::new()).await;
            assert!(outcome.is_err(), "{wrong:?}");
        }
    }
}

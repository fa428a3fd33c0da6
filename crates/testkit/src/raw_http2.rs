//! HTTP/2 frames as an attacker would write them (RFC 9113), straight into a socket.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// Types of frames (section 6).
pub const DATA: u8 = 0;
/// As [`DATA`].
pub const HEADERS: u8 = 1;
/// As [`DATA`].
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// As [`DATA`].
pub const CONTINUATION: u8 = 9;

/// Flags of frames.
pub const END_STREAM: u8 = 1;
/// As [`END_STREAM`].
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// How much a peer may send on a stream before it is asked for more (section 6.5.2).
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with a status of 2xx.
    Answered,
    /// The connection was ended.
    Ended,
    /// An answer with another status.
    Refused,
    /// The stream was reset.
    Reset,
}

/// A connection.
#[derive(Debug)]
pub struct Frames {
    socket: TcpStream,
}

impl Frames {
    /// Connects and sends the preface with these settings.
    pub async fn open(address: &str, settings: &[(u16, u32)]) -> Result<Self, String> {
        let mut socket = TcpStream::connect(address).await.map_err(text)?;
        socket.write_all(PREFACE).await.map_err(text)?;
        let mut frames = Self { socket };
        let pairs = settings.iter().flat_map(|(name, value)| {
            name.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<_>>()
        });
        frames.send(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>()).await;
        Ok(frames)
    }

    /// Sends a frame; false when the other side does not listen any more.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send_all(&frame(kind, flags, stream, payload)).await
    }

    /// Sends frames as bytes, all at once.
    pub async fn send_all(&mut self, frames: &[u8]) -> bool {
        self.socket.write_all(frames).await.is_ok()
    }

    /// Reads until the other side says why it ends the connection (section 7): the code, `None` if it does not say.
    pub async fn ended(&mut self) -> Result<Option<u32>, String> {
        while let Some(frame) = self.next().await? {
            if frame.kind == GOAWAY {
                let code = frame.payload.get(4..8).and_then(|code| code.try_into().ok());
                return Ok(code.map(u32::from_be_bytes));
            }
        }
        Ok(None)
    }

    /// The next frame; `None` when the other side has closed. Settings and pings are acknowledged.
    pub async fn next(&mut self) -> Result<Option<Frame>, String> {
        let frame = tokio::time::timeout(PATIENCE, self.read()).await;
        let frame = frame.map_err(|_| "no frame in time".to_owned())?;
        if let Some(frame) = &frame
            && (frame.kind == SETTINGS || frame.kind == PING)
            && frame.flags & ACK == 0
        {
            let payload = if frame.kind == PING { frame.payload.clone() } else { Vec::new() };
            self.send(frame.kind, ACK, 0, &payload).await;
        }
        Ok(frame)
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = vec![0; usize::try_from(length).ok()?];
        self.socket.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Reads until it is clear what came of a stream.
    pub async fn outcome(&mut self, stream: u32) -> Result<Outcome, String> {
        loop {
            let Some(frame) = self.next().await? else { return Ok(Outcome::Ended) };
            match frame.kind {
                GOAWAY => return Ok(Outcome::Ended),
                RST_STREAM if frame.stream == stream => return Ok(Outcome::Reset),
                HEADERS if frame.stream == stream => {
                    return Ok(if is_success(&frame.payload) { Outcome::Answered } else { Outcome::Refused });
                }
                _ => {}
            }
        }
    }

    /// Reads until the other side closes.
    pub async fn closed(&mut self) -> Result<(), String> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

/// One frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Whether a block begins with a `:status` of 200, 204 or 206, which are in the static table (RFC 7541, appendix A).
fn is_success(block: &[u8]) -> bool {
    // What comes before may change the size of the dynamic table (section 6.3).
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    first.is_some_and(|first| (0x88..=0x8a).contains(first))
}

/// Fields as a block of HPACK: literal, never indexed, not compressed (RFC 7541, section 6.2.3).
pub fn fields(list: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in list {
        block.push(0x10);
        string(&mut block, name.as_bytes());
        string(&mut block, value);
    }
    block
}

fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    if let Some(length) = u8::try_from(rest).ok().filter(|length| *length < 0x7f) {
        block.push(length);
    } else {
        block.push(0x7f);
        rest -= 0x7f;
        while rest >= 0x80 {
            block.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
            rest >>= 7;
        }
        block.push(u8::try_from(rest).unwrap_or_default());
    }
    block.extend_from_slice(bytes);
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_written_as_the_standard_writes_it() {
        assert_eq!(fields(&[("a", b"b")]), b"\x10\x01a\x01b");
        // RFC 7541, C.1.2: 1337 with a prefix of five bits ends in 9a 0a; here the prefix has seven.
        let long = fields(&[("a", &[b'x'; 1337])]);
        assert_eq!(long[3..6], [0x7f, 0xba, 0x09]);
        assert!(is_success(&[0x3f, 0xe1, 0x1f, 0x88]) || is_success(&[0x20, 0x88]));
    }
}

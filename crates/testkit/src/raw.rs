//! Bytes as an attacker would write them, straight into a socket: for requests that no HTTP client would send.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::Answer;

const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the bytes and reads one answer, or what there is of it when the server closes. A server that answers before it
/// has read everything is listened to; one that closes without a word is an error.
pub async fn send(address: &str, bytes: &[u8]) -> Result<Answer, String> {
    talk(address, bytes, false).await
}

/// The same, but nothing more is to come: the request may be unfinished. A server may take that for the end of interest.
pub async fn send_and_hang_up(address: &str, bytes: &[u8]) -> Result<Answer, String> {
    talk(address, bytes, true).await
}

/// Writes the bytes and reads everything until the server closes, whatever it is and however many answers.
pub async fn converse(address: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let talk = async {
        let mut socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        // Whoever refuses at the first bytes may not wait for the last.
        drop(socket.write_all(bytes).await);
        let mut received = Vec::new();
        drop(socket.read_to_end(&mut received).await);
        Ok(received)
    };
    tokio::time::timeout(PATIENCE, talk).await.map_err(|_| "it was not closed in time".to_owned())?
}

async fn talk(address: &str, bytes: &[u8], hang_up: bool) -> Result<Answer, String> {
    let talk = async {
        let mut socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        // Whoever refuses at the first bytes may not wait for the last.
        if socket.write_all(bytes).await.is_ok() && hang_up {
            drop(socket.shutdown().await);
        }
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            received.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if is_whole(&received) {
                break;
            }
        }
        parse(&received)
    };
    tokio::time::timeout(PATIENCE, talk).await.map_err(|_| "no answer in time".to_owned())?
}

/// A request line, `Host`, `Connection: close`, an empty line behind them, and nothing else.
pub fn request(line: &str, host: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Whether the answer says how long it is, and is all there.
fn is_whole(received: &[u8]) -> bool {
    let Ok(Answer { headers, body, .. }) = parse(received) else { return false };
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

fn parse(received: &[u8]) -> Result<Answer, String> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("no answer: {:?}", String::from_utf8_lossy(received)))?;
    let (head, rest) = received.split_at(end);
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let status = status.parse::<StatusCode>().map_err(|error| format!("{error}: {head}"))?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("not a header line: {line}"))?;
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        headers.append(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
    }
    Ok(Answer { status, headers, body: Bytes::copy_from_slice(rest.get(4..).unwrap_or_default()) })
}

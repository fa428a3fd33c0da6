//! The header with which a load balancer says on whose behalf it connects: PROXY protocol, version 2.
//!
//! Exactly the header is read and not a byte more, so nothing of what follows can be taken for part of it. Version 1,
//! which is a line of text of unknown length, is refused. What else the header carries (TLVs) is not looked at.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Signature, version and command, family, length.
const FIXED: usize = 16;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// More than the addresses and the certificate of a caller take; nobody has use for the 64 KiB that could be announced.
const MOST: usize = 8 * 1024;

/// Reads the header: who is behind the peer, or `None` if the peer speaks for itself (the command LOCAL, as in health
/// checks, and families that have no address for us).
pub(super) async fn read<R>(stream: &mut R) -> std::io::Result<Option<SocketAddr>>
where
    R: AsyncRead + Unpin,
{
    let mut header = vec![0; FIXED];
    stream.read_exact(&mut header).await?;
    let length = match header.as_slice() {
        [signature @ .., _, _, high, low] if signature == SIGNATURE => u16::from_be_bytes([*high, *low]),
        _ => return Err(malformed("does not begin with a header of version 2")),
    };
    let length = usize::from(length);
    if length > MOST {
        return Err(malformed("announces a header that is too long"));
    }
    header.resize(FIXED + length, 0);
    stream.read_exact(header.get_mut(FIXED..).unwrap_or_default()).await?;
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (parsed, _) = ProxyHeader::parse(&header, config).map_err(|_| malformed("has a malformed header"))?;
    match parsed.proxied_address() {
        None => Ok(None),
        Some(address) => match address.protocol {
            Protocol::Stream => Ok(Some(address.source)),
            Protocol::Datagram => Err(malformed("says that it carries datagrams")),
        },
    }
}

fn malformed(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    const FOUR: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x34, 0x01, 0xbb];

    async fn say(bytes: &[u8]) -> Result<Option<String>, String> {
        let mut rest = bytes;
        let who = read(&mut rest).await.map_err(|error| error.to_string())?;
        assert_eq!(rest, b"GET", "what follows the header is left alone");
        Ok(who.map(|who| who.to_string()))
    }

    #[tokio::test]
    async fn the_source_is_the_caller_and_the_rest_of_the_header_is_read_over() {
        let four = [header(0x21, 0x11, &FOUR), b"GET".to_vec()].concat();
        assert_eq!(say(&four).await.unwrap().unwrap(), "203.0.113.7:4660");
        let tlvs = [&FOUR[..], &[0x04, 0x00, 0x03, 1, 2, 3]].concat();
        let more = [header(0x21, 0x11, &tlvs), b"GET".to_vec()].concat();
        assert_eq!(say(&more).await.unwrap().unwrap(), "203.0.113.7:4660");
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 7;
        six[33] = 80;
        let six = [header(0x21, 0x21, &six), b"GET".to_vec()].concat();
        assert_eq!(say(&six).await.unwrap().unwrap(), "[2001:db8::7]:80");
    }

    #[tokio::test]
    async fn a_local_command_and_an_unknown_family_speak_for_the_peer_itself() {
        for bytes in [header(0x20, 0x00, &[]), header(0x20, 0x11, &FOUR), header(0x21, 0x00, &[1, 2])] {
            assert_eq!(say(&[bytes, b"GET".to_vec()].concat()).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let mut other_version = header(0x21, 0x11, &FOUR);
        other_version[12] = 0x11;
        let mut long = header(0x21, 0x11, &FOUR);
        long[14] = 0xff;
        for bytes in [
            b"PROXY TCP4 203.0.113.7 192.0.2.1 4660 443\r\nGET".to_vec(),
            b"GET / HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n".to_vec(),
            other_version,
            long,
            header(0x22, 0x11, &FOUR),
            header(0x21, 0x41, &FOUR),
            header(0x21, 0x12, &FOUR),
            header(0x21, 0x11, &FOUR[..11]),
            header(0x21, 0x11, &FOUR)[..20].to_vec(),
            SIGNATURE.to_vec(),
            Vec::new(),
        ] {
            assert!(read(&mut bytes.as_slice()).await.is_err(), "{bytes:?}");
        }
    }
}

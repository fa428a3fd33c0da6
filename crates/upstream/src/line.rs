//! The bytes of one connection, below the peer's own TLS: a socket, or a tunnel through a proxy.
//!
//! The tunnel is boxed: a connection without one, of which there are many, must not be larger for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Socket = TokioIo<TcpStream>;

/// One connection.
#[derive(Debug)]
pub(crate) enum Line {
    /// To the peer itself.
    Direct(Socket),
    /// To the proxy, which passes on what comes.
    Tunnel(Box<MaybeHttpsStream<Socket>>),
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        match self {
            Self::Direct(socket) => socket.connected(),
            Self::Tunnel(tunnel) => tunnel.connected(),
        }
    }
}

impl Read for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tunnel(tunnel) => Pin::new(tunnel).poll_read(context, buffer),
        }
    }
}

impl Write for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tunnel(tunnel) => Pin::new(tunnel).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(socket) => Pin::new(socket).poll_flush(context),
            Self::Tunnel(tunnel) => Pin::new(tunnel).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tunnel(tunnel) => Pin::new(tunnel).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Direct(socket) => socket.is_write_vectored(),
            Self::Tunnel(tunnel) => tunnel.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(socket) => Pin::new(socket).poll_write_vectored(context, buffers),
            Self::Tunnel(tunnel) => Pin::new(tunnel).poll_write_vectored(context, buffers),
        }
    }
}

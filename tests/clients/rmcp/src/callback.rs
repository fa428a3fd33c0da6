//! The client's own loopback listener (RFC 8252, 7.3): one authorization response, on a port the system chose.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::Failure;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener for one authorization response.
pub(crate) struct Callback {
    listener: TcpListener,
    port: u16,
}

impl Callback {
    /// Opens the port.
    pub(crate) async fn listen() -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The redirect URI to register.
    pub(crate) fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// The URL that the browser was sent to.
    pub(crate) async fn wait(self) -> Result<String, Failure> {
        tokio::time::timeout(PATIENCE, self.answer())
            .await
            .map_err(|_| "no authorization response within 60 s")?
    }

    async fn answer(self) -> Result<String, Failure> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let mut header = String::new();
            while stream.read_line(&mut header).await? > 2 {
                header.clear();
            }
            let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
            let found = target.starts_with("/callback?");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).await?;
            if found {
                return Ok(format!("http://127.0.0.1:{}{target}", self.port));
            }
        }
    }
}

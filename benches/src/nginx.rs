//! The other peer: nginx as a reverse proxy that checks nothing, if the machine has it.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use testkit::http::Http;

use crate::Outcome;
use crate::load::now;
use crate::peer::Peer;
use crate::pin::{self, Core};

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// Master and worker.
    pub peer: Peer,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it with one worker, as one core has to serve; `None` if there is none.
    pub(crate) async fn start(upstream: &str) -> Outcome<Option<Self>> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let port = crate::product::free_port()?;
        let place = folder.path().display();
        let server = upstream.trim_start_matches("http://").trim_end_matches("/mcp");
        let config = format!(
            "daemon off; worker_processes 1; pid {place}/pid; error_log {place}/log warn;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 100000000;\n\
             client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;\n\
             uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;\n\
             upstream back {{ server {server}; keepalive 512; keepalive_requests 100000000; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://back; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).map_err(|error| error.to_string())?;
        let mut command = pin::command("nginx", Core::Measured);
        command.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else { return Ok(None) };
        let mut peer = Peer::adopt(child, format!("http://127.0.0.1:{port}/mcp"));
        let begin = now();
        while Http::default().get(&peer.url, &[]).await.is_err() {
            if peer.has_ended() || begin.elapsed() > Duration::from_secs(5) {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Some(Self { peer, _folder: folder }))
    }
}

//! When somebody asks Sekisho to stop.

/// Resolves at Ctrl-C, and at SIGTERM where there is one.
pub async fn stop_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            drop(tokio::signal::ctrl_c().await);
            return;
        };
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => drop(interrupted),
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}

/// Asks to read the configuration again: SIGHUP, which `systemctl reload` sends. There are none on other systems.
#[derive(Debug)]
pub struct Reloads {
    #[cfg(unix)]
    hangups: tokio::signal::unix::Signal,
}

impl Reloads {
    /// From here on the signal ends nothing.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangups: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Resolves when somebody asks. Several asks at once are one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.hangups.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

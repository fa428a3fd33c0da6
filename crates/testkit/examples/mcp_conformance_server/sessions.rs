//! Sessions of the SDK, with one difference: the stream of `test_reconnection` is closed in the middle of the call.
//!
//! The client then holds the id of the priming event and comes back for the result with `Last-Event-ID` (SEP-1699). The
//! SDK keeps what a stream of a running call would have carried, and forgets it with the answer: so the answer waits
//! until the client is back.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::Stream;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};
use tokio::sync::watch;

/// The name of the tool whose stream ends early.
pub(crate) const RECONNECTION: &str = "test_reconnection";

/// A client that has not come back by then will not.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sessions in which a stream was taken up again.
pub(crate) type Resumed = watch::Sender<HashSet<String>>;

/// Waits until a stream of this session is taken up again.
pub(crate) async fn resumed(resumed: &Resumed, session: &str) {
    let mut sessions = resumed.subscribe();
    drop(tokio::time::timeout(PATIENCE, sessions.wait_for(|all| all.contains(session))).await);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Sessions {
    inner: LocalSessionManager,
    resumed: Resumed,
}

impl Sessions {
    pub(crate) fn new(resumed: Resumed) -> Self {
        Self { inner: LocalSessionManager::default(), resumed }
    }
}

fn closes_early(message: &ClientJsonRpcMessage) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    matches!(&request.request, ClientRequest::CallToolRequest(call) if call.params.name == RECONNECTION)
}

impl SessionManager for Sessions {
    type Error = <LocalSessionManager as SessionManager>::Error;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        self.inner.create_session().await
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.inner.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.inner.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.inner.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let most = if closes_early(&message) { 1 } else { usize::MAX };
        Ok(self.inner.create_stream(id, message).await?.take(most))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.inner.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.inner.resume(id, last_event_id).await?;
        self.resumed.send_modify(|all| {
            all.insert(id.to_string());
        });
        Ok(stream)
    }
}

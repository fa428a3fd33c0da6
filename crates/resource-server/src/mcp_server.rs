//! One MCP server behind us: what is known of it, the way to it, and what its challenges say.

use std::sync::Arc;

use protocol::oauth::ProtectedResourceMetadata;
use upstream::mcp_server::streamable_http::McpServerClient;

use crate::challenge::Challenges;
use crate::metadata;
use crate::settings::ServerSettings;
use crate::tools::Catalogue;

/// An MCP server, guarded.
#[derive(Debug)]
pub(crate) struct McpServer {
    settings: ServerSettings,
    client: Arc<McpServerClient>,
    challenges: Challenges,
    metadata: ProtectedResourceMetadata,
    catalogue: Catalogue,
}

impl McpServer {
    pub(crate) fn new(
        issuer: &str,
        settings: ServerSettings,
        client: Arc<McpServerClient>,
        catalogue: Catalogue,
    ) -> Self {
        let url = ProtectedResourceMetadata::url_of(&settings.resource);
        let challenges = Challenges::new(url, settings.challenge_scope.clone());
        let metadata = metadata::document(issuer, &settings);
        Self { settings, client, challenges, metadata, catalogue }
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    pub(crate) const fn is_low_risk(&self) -> bool {
        self.settings.low_risk
    }

    pub(crate) fn client(&self) -> &McpServerClient {
        &self.client
    }

    pub(crate) const fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    pub(crate) const fn metadata(&self) -> &ProtectedResourceMetadata {
        &self.metadata
    }

    pub(crate) const fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

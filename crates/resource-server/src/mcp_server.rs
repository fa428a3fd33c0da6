//! One MCP server behind us: what is known of it, the way to it, and what its challenges say.

use std::sync::Arc;

use protocol::oauth::ProtectedResourceMetadata;
use protocol::world::{Clock, Timestamp};
use upstream::mcp_server::streamable_http::McpServerClient;
use upstream::oauth_client::OauthClient;

use crate::breaker::Breaker;
use crate::challenge::Challenges;
use crate::definitions::ServerTools;
use crate::limits::Limits;
use crate::line::{Line, Turns};
use crate::metadata;
use crate::settings::{OtherIssuer, ServerSettings};
use crate::tally::Tally;
use crate::tools::Catalogue;
use crate::vault::connection::origin;
use crate::vault::credential::Credential;

/// Under which issuer the MCP server is which resource. More than one only while the house moves (product.md, P-23).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) resource: String,
    pub(crate) until: Option<Timestamp>,
}

/// An MCP server, guarded.
#[derive(Debug)]
pub(crate) struct McpServer {
    settings: ServerSettings,
    line: Line,
    limits: Arc<Limits>,
    challenges: Challenges,
    metadata: ProtectedResourceMetadata,
    catalogue: Catalogue,
    tools: Arc<ServerTools>,
    identities: Vec<Identity>,
    tally: Arc<Tally>,
}

impl McpServer {
    pub(crate) fn new(
        (issuer, others): (&str, &[OtherIssuer]),
        settings: ServerSettings,
        client: Arc<McpServerClient>,
        (catalogue, tools): (Catalogue, Arc<ServerTools>),
        (clock, turns): (&Arc<dyn Clock>, &Turns),
    ) -> Self {
        let url = ProtectedResourceMetadata::url_of(&settings.resource);
        let challenges = Challenges::new(url, settings.challenge_scope.clone(), settings.dpop);
        let metadata = metadata::document(issuer, &settings);
        let resource = settings.resource.as_str().to_owned();
        let mut identities = vec![Identity { issuer: issuer.to_owned(), resource, until: None }];
        identities.extend(others.iter().map(|other| Identity {
            issuer: other.issuer.clone(),
            resource: format!("{}/{}/mcp", other.issuer, settings.name),
            until: other.until,
        }));
        let limits = Arc::new(Limits::new(settings.limits.clone(), Arc::clone(clock)));
        let breaker = Arc::new(Breaker::new(settings.breaker));
        let line = Line::new(settings.name.clone(), client, breaker, Arc::clone(clock), turns.clone());
        let tally = Arc::default();
        Self { settings, line, limits, challenges, metadata, catalogue, tools, identities, tally }
    }

    /// Goes on with what was used of, and known of, the same MCP server under other settings.
    pub(crate) fn take_over(&mut self, known: &Self) {
        self.line.take_over(&known.line);
        self.tally = Arc::clone(&known.tally);
        if self.limits.are_as(&known.limits) {
            self.limits = Arc::clone(&known.limits);
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Scheme, host and port of it: what is given for it goes nowhere else.
    pub(crate) fn origin(&self) -> &str {
        origin(&self.settings.assertion_audience)
    }

    /// Where people connect accounts for it, if they do.
    pub(crate) const fn oauth_client(&self) -> Option<&Arc<OauthClient>> {
        match &self.settings.credential {
            Credential::Connection(provider) => Some(&provider.0),
            Credential::Fixed(_) | Credential::None | Credential::Obtained(_) => None,
        }
    }

    pub(crate) const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    pub(crate) const fn is_low_risk(&self) -> bool {
        self.settings.low_risk
    }

    pub(crate) const fn client(&self) -> &Arc<McpServerClient> {
        self.line.client()
    }

    /// By which everything is sent to it.
    pub(crate) const fn line(&self) -> &Line {
        &self.line
    }

    pub(crate) const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// What is counted of its calls.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What tokens for it may say.
    pub(crate) fn identities(&self) -> &[Identity] {
        &self.identities
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

    /// What is known of its tools.
    pub(crate) const fn tools(&self) -> &Arc<ServerTools> {
        &self.tools
    }
}

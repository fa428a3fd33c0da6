//! The metadata documents of clients: fetched by one fetcher for the whole process, and kept when the configuration is read
//! anew, unless the way to them is another one.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::world::Clock;
use upstream::client_metadata_document::MetadataDocuments;
use upstream::guarded::{GuardedFetcher, GuardedSettings};
use upstream::proxy::Proxy;
use upstream::trust::Trust;

use super::Trusts;
use crate::commands::Failure;
use crate::config::Config;

/// What the fetcher depends on.
type Way = (Trust, Option<Proxy>, Vec<String>, bool);

/// The documents, and the way to them.
#[derive(Debug, Default)]
pub struct Documents(Mutex<Option<(Way, Arc<MetadataDocuments>)>>);

impl Documents {
    /// The documents under this configuration. Dials nothing.
    pub fn of(
        &self,
        config: &Config,
        trusts: &Trusts,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<MetadataDocuments>, Failure> {
        let settings = &config.documents;
        let trust = trusts.of(config, "https://", settings.ca_file.as_deref())?;
        let way = (trust, trusts.proxy(config)?, settings.private_hosts.clone(), settings.proxy_resolves);
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, documents)) = &*made
            && *before == way
        {
            return Ok(Arc::clone(documents));
        }
        let (trust, proxy, private_hosts, proxy_resolves) = way.clone();
        let guarded = GuardedSettings { private_hosts, proxy, proxy_resolves, ..GuardedSettings::new(trust) };
        let fetcher = GuardedFetcher::new(&guarded, Arc::clone(clock));
        let documents = Arc::new(MetadataDocuments::new(fetcher, Arc::clone(clock)));
        *made = Some((way, Arc::clone(&documents)));
        Ok(documents)
    }
}

//! Which person is meant on the command line: by id, by `connector:subject`, or by e-mail address.

use authorization_server::keep_service_account;
use store::{Queries, SERVICE_ACCOUNT, Store, UserRecord};

use super::Failure;
use crate::config::Config;
use crate::wiring::{World, roles};

/// The service account of the configuration that is meant, if one is: it can be stopped before its first use.
pub(super) async fn find_service_account(
    config: &Config,
    store: &dyn Store,
    world: &World,
    text: &str,
) -> Result<Option<UserRecord>, Failure> {
    let Some((SERVICE_ACCOUNT, name)) = text.split_once(':') else { return Ok(None) };
    let accounts = roles::known_service_accounts(config)?;
    let Some(account) = accounts.iter().find(|account| account.name == name) else { return Ok(None) };
    Ok(Some(keep_service_account(account, store, world.entropy.as_ref(), world.clock.now()).await?))
}

/// The one person of that name.
pub(super) async fn find_one(store: &dyn Queries, text: &str) -> Result<UserRecord, Failure> {
    let mut found = store.find_people(text).await?;
    match (found.pop(), found.as_slice()) {
        (Some(one), []) => Ok(one),
        (None, _) => Err(Failure::Nobody(format!(
            "nobody here is `{text}`; a person is known after the first sign-in, by id, connector:subject or e-mail"
        ))),
        (Some(last), others) => {
            let all = others.iter().chain([&last]);
            let names: Vec<String> =
                all.map(|one| format!("  {}  {}:{}", one.id, one.connector, one.subject)).collect();
            Err(Failure::Arguments(format!("several people are `{text}`; say which\n\n{}", names.join("\n"))))
        }
    }
}

/// The one person or service account of that name. `None`: a service account of the configuration that was not used yet.
pub(super) async fn find_any(
    config: &Config,
    store: &dyn Queries,
    text: &str,
) -> Result<Option<UserRecord>, Failure> {
    let is_configured = text.split_once(':').is_some_and(|(of, name)| {
        of == SERVICE_ACCOUNT && config.service_accounts.iter().any(|one| one.settings.name == name)
    });
    match find_one(store, text).await {
        Ok(found) => Ok(Some(found)),
        Err(Failure::Nobody(_)) if is_configured => Ok(None),
        Err(unknown) => Err(unknown),
    }
}

/// What to call a person in a sentence.
pub(super) fn name(user: &UserRecord) -> String {
    user.email.clone().or_else(|| user.name.clone()).unwrap_or_else(|| user.id.to_string())
}

//! `sekisho keys withdraw`: says in words what will happen before it is done.

use authorization_server::keys::{KeysError, sealed_with};
use clap::Args;
use protocol::keys::KeyId;
use store::{KeyPurpose, KeyRecord, KeysRecord as _, Queries as _};

use super::{Desk, Purpose};
use crate::commands::{ConfigArgument, Failure};

/// Which keys.
#[derive(Debug, Args)]
pub(super) struct WithdrawArguments {
    /// The id of a key, or a purpose: every key for it but the one that works now
    #[arg(value_name = "KEY|PURPOSE", value_parser = parse_which)]
    which: Which,
    /// Do it, although people will notice
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArgument,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    All(KeyPurpose),
    One(KeyId),
}

fn parse_which(text: &str) -> Result<Which, String> {
    if let Ok(purpose) = <Purpose as clap::ValueEnum>::from_str(text, false) {
        return Ok(Which::All(purpose.into()));
    }
    text.parse().map(Which::One).map_err(|_| {
        "a key is named by eight hexadecimal digits, as `sekisho keys list` shows them; purposes are audit, client_ids, \
         forms, refresh_tokens, sealing, signing and signing_rs256"
            .to_owned()
    })
}

/// Withdraws, and says what was done.
pub(super) async fn run(arguments: &WithdrawArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config.config).await?;
    let records = desk.store.list_keys().await?;
    let working = match arguments.which {
        Which::All(purpose) => match desk.change().working_key(purpose).await {
            // Not every record has one.
            Err(KeysError::Absent { .. }) if purpose == KeyPurpose::SigningRs256 => None,
            working => Some(working?),
        },
        Which::One(_) => None,
    };
    let wanted = |key: &&KeyRecord| match arguments.which {
        Which::All(purpose) => {
            key.purpose == purpose && key.withdrawn_at.is_none() && working != Some(key.id)
        }
        Which::One(id) => key.id == id,
    };
    let keys: Vec<&KeyRecord> = records.iter().filter(wanted).collect();
    let Some(first) = keys.first() else {
        return match arguments.which {
            Which::All(_) => {
                Ok("There is no key for it but the one that works now; nothing was done.\n".to_owned())
            }
            Which::One(id) => Err(KeysError::NoSuchKey(id).into()),
        };
    };
    if keys.iter().all(|key| key.withdrawn_at.is_some()) {
        return Ok("It was withdrawn before; nothing was done.\n".to_owned());
    }
    let purpose = first.purpose;
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id).collect();
    let consequence = consequence(&desk, purpose, &ids).await?;
    let is_signing = matches!(purpose, KeyPurpose::Signing | KeyPurpose::SigningRs256);
    if !is_signing && !arguments.yes {
        return Err(Failure::Arguments(format!("{consequence}\n\nNothing was done. To do it, add --yes")));
    }
    if !desk.change().withdraw(&ids).await? {
        return Err(Failure::Wiring(
            "somebody else changed the keys in this moment; look, and try again".to_owned(),
        ));
    }
    let named: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(format!(
        "Withdrawn: {} ({}). What it made is refused on every node within 5 seconds, and another key works from now on.\n\
         {consequence}\n",
        named.join(", "),
        purpose.as_str()
    ))
}

/// Who will notice what.
async fn consequence(desk: &Desk, purpose: KeyPurpose, keys: &[KeyId]) -> Result<String, Failure> {
    Ok(match purpose {
        KeyPurpose::Audit => "Seals that it signed prove nothing from then on: `sekisho audit verify` calls every one of them \
             forged. Keep a checkpoint of today elsewhere first (`sekisho audit checkpoint`)."
            .to_owned(),
        KeyPurpose::ClientIds => "Clients that registered with this key are unknown from then on: each registers anew, \
             and everybody who uses it signs in and consents again. Clients that cannot register anew by themselves \
             must be added again by hand."
            .to_owned(),
        KeyPurpose::Forms => {
            "Whoever has a sign-in or consent page open must go back and begin again.".to_owned()
        }
        KeyPurpose::RefreshTokens => format!(
            "Refresh tokens made with this key are worth nothing from then on: people sign in again when the access \
             token they have is over. Up to {} grants are touched.",
            desk.store.counts().await?.grants
        ),
        KeyPurpose::Sealing => {
            let mut lost = 0;
            for key in keys {
                lost += sealed_with(desk.store.as_ref(), *key).await?;
            }
            format!(
                "What is still sealed with a withdrawn key is lost: {lost} values. `sekisho keys rotate sealing --now` and \
                 `sekisho keys reseal` come first. MCP sessions of older clients end, and they begin new ones."
            )
        }
        KeyPurpose::Signing | KeyPurpose::SigningRs256 => "Access tokens that it signed are refused; clients get new ones with their refresh \
             tokens, and people notice nothing. An MCP server that checks tokens itself goes on accepting them until it \
             reads /oauth/jwks again."
            .to_owned(),
    })
}

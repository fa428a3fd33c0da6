//! Which person is meant on the command line: by id, by `connector:subject`, or by e-mail address.

use store::{Queries, UserRecord};

use super::Failure;

/// The one person of that name.
pub(super) async fn find_one(store: &dyn Queries, text: &str) -> Result<UserRecord, Failure> {
    let mut found = store.find_people(text).await?;
    match (found.pop(), found.as_slice()) {
        (Some(one), []) => Ok(one),
        (None, _) => Err(Failure::Arguments(format!(
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

/// What to call a person in a sentence.
pub(super) fn name(user: &UserRecord) -> String {
    user.email.clone().or_else(|| user.name.clone()).unwrap_or_else(|| user.id.to_string())
}

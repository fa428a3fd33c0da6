//! The invariants of attacks.md, section 2.2, asked of the record behind its back: each is a question whose answer must be
//! no row at all.

use std::collections::BTreeSet;

use testkit::outcomes::Verdict;

use crate::record::Record;

/// Name, and the rows that break it.
const INVARIANTS: [(&str, &str); 9] = [
    (
        "I-1: an authorization gave two families",
        "SELECT authorization_id FROM grants GROUP BY authorization_id HAVING COUNT(*) > 1",
    ),
    (
        "I-1: a family and its code do not know each other",
        "SELECT g.id FROM grants g LEFT JOIN authorizations a ON a.id = g.authorization_id \
         WHERE g.standing IS NULL AND (a.id IS NULL OR a.state <> 'redeemed' OR a.grant_id <> g.id)",
    ),
    (
        "I-5: a code was used up and bought nothing",
        "SELECT a.id FROM authorizations a LEFT JOIN grants g ON g.authorization_id = a.id \
         WHERE a.state = 'redeemed' AND g.id IS NULL",
    ),
    (
        "I-2, I-10: a family has not one event for each rotation",
        "SELECT g.id FROM grants g WHERE g.generation <> (SELECT COUNT(*) FROM audit_events e \
         WHERE e.grant_id = g.id AND e.kind = 'token_refreshed' AND e.outcome = 'ok')",
    ),
    (
        "I-10: a family has not one event of its issue",
        "SELECT g.id FROM grants g WHERE g.standing IS NULL AND 1 <> (SELECT COUNT(*) FROM audit_events e \
         WHERE e.grant_id = g.id AND e.kind = 'token_issued' AND e.outcome = 'ok')",
    ),
    (
        "I-10: an ended family has not one event of its end",
        "SELECT g.id FROM grants g WHERE (CASE WHEN g.revoked_at IS NULL THEN 0 ELSE 1 END) <> \
         (SELECT COUNT(*) FROM audit_events e WHERE e.grant_id = g.id AND \
         ((e.kind = 'grant_revoked' AND e.outcome = 'ok') OR e.kind IN ('refresh_reused', 'code_replayed')))",
    ),
    (
        "I-10: a consent has not one event",
        "SELECT 1 WHERE (SELECT COUNT(*) FROM authorizations WHERE state IN ('consented', 'redeemed')) <> \
         (SELECT COUNT(*) FROM audit_events WHERE kind = 'consent_given' AND outcome = 'ok')",
    ),
    (
        "I-3: an ended family is in no list of revocations",
        "SELECT 1 WHERE (SELECT COUNT(*) FROM grants WHERE revoked_at IS NOT NULL) <> \
         (SELECT COUNT(*) FROM revocations WHERE kind = 'grant')",
    ),
    (
        "I-11: a family is not what was consented to",
        "SELECT g.id FROM grants g JOIN authorizations a ON a.id = g.authorization_id \
         WHERE a.user_id <> g.user_id OR a.client_id <> g.client_id OR a.resource <> g.resource \
         OR a.scope <> g.scope OR a.shown <> g.shown",
    ),
];

/// All of them.
pub(crate) async fn hold(record: &Record) -> Verdict {
    for (name, sql) in INVARIANTS {
        let rows = record.rows(sql).await?;
        if !rows.is_empty() {
            return Err(format!("{name}: {} times", rows.len()));
        }
    }
    Ok(())
}

/// The ids of all grants, as access tokens name them.
pub(crate) async fn families(record: &Record) -> Result<BTreeSet<String>, String> {
    let rows = record.rows("SELECT id FROM grants").await?;
    Ok(rows.iter().map(|row| hyphenated(row)).collect())
}

/// An id as PostgreSQL and we print bytes (`\x…`), with hyphens.
fn hyphenated(hex: &str) -> String {
    let hex = hex.trim_start_matches("\\x");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The control: what was forged behind the record's back is found, by the invariant that is there for it.
#[tokio::test]
async fn what_breaks_an_invariant_is_found() -> Verdict {
    const FORGED: [(&str, &str); 8] = [
        (
            "I-1: a family and",
            "UPDATE authorizations SET state = 'consented', grant_id = NULL WHERE state = 'redeemed'",
        ),
        ("I-5", "DELETE FROM grants"),
        ("I-2", "UPDATE grants SET generation = generation + 1"),
        (
            "I-10: a family has not one event of its issue",
            "DELETE FROM audit_events WHERE kind = 'token_issued'",
        ),
        ("I-10: an ended", "UPDATE grants SET revoked_at = NULL"),
        ("I-10: a consent", "DELETE FROM audit_events WHERE kind = 'consent_given'"),
        ("I-3", "DELETE FROM revocations"),
        ("I-11", "UPDATE grants SET scope = 'read'"),
    ];
    let mut flow = crate::steps::Flow::new().await?;
    let tokens = flow.tokens().await?;
    flow.refresh(&tokens.refresh).await?;
    let revoked = flow.tokens().await?;
    flow.revoke(&[("client_id", &flow.client.client_id), ("token", &revoked.access)]).await?;
    let whole = flow.house.folder().join("record.db");
    hold(&Record::Sqlite(whole.clone())).await?;
    for (number, (name, sql)) in FORGED.into_iter().enumerate() {
        let copy = flow.house.folder().join(format!("forged{number}.db"));
        Record::Sqlite(whole.clone()).rows(&format!("VACUUM INTO '{}'", copy.display())).await?;
        let forged = Record::Sqlite(copy);
        forged.rows(sql).await?;
        match hold(&forged).await {
            Err(why) if why.starts_with(name) => {}
            other => return Err(format!("{sql}: {name} is expected, found {other:?}")),
        }
    }
    flow.close().await
}

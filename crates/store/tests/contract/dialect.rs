use std::collections::BTreeSet;

use store::{Engine, Maintenance as _};

use crate::engines::{Opened, contract, on_empty_sqlite};

contract! {
    every_statement_is_accepted,
    a_record_that_answers_is_pinged,
}

async fn every_statement_is_accepted(store: Opened) {
    let said = store.check().await.unwrap();
    let all = store::statements().len();
    assert!(said.contains(&format!("all {all} statements accepted")), "{said}");
    assert!(said.contains("writable"), "{said}");
}

async fn a_record_that_answers_is_pinged(store: Opened) {
    store.ready().await.unwrap();
}

/// One engine takes parameters by number, the other by first appearance; so the two must be the same.
#[test]
fn parameters_are_numbered_in_the_order_in_which_they_appear() {
    for statement in store::statements() {
        let mut seen = 0;
        for part in statement.sql.split('$').skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            let number: usize = digits.parse().unwrap();
            assert!(number <= seen + 1, "{}: ${number} comes before ${}", statement.name, seen + 1);
            seen = seen.max(number);
        }
    }
}

#[test]
fn statements_keep_to_the_dialect() {
    for statement in store::statements() {
        // A sum is of another type on either engine, unless it is cast.
        let words = statement.sql.to_ascii_uppercase().replace("CAST(COALESCE(SUM(", "");
        for foreign in [" LIKE ", "NOW()", "SKIP LOCKED", "->", " TRUE", " FALSE", " BOOLEAN", "::", "SUM("] {
            assert!(!words.contains(foreign), "{} uses {foreign}", statement.name);
        }
    }
}

/// Scans that are meant: few rows, or all of them wanted, or an emergency.
const MEANT: [&str; 38] = [
    "CLIENT_REQUESTS_OF_ALL",
    "EMERGENCY_LOGINS_OF_ALL",
    "END_ALL",
    "END_OF_ALL",
    "LIST client_rules",
    "LIST audit_intents",
    "LIST audit_holds",
    "FORGET_INTENTS audit_intents",
    "FORGET_SIGN_INS sign_ins",
    "ALL_BLOCKS audit_blocks",
    "BY_CLIENT usage_hours",
    "COUNT_BLOCKS audit_blocks",
    "REMOVE_SHARED audit_holds",
    "REMOVE_EVENT audit_holds",
    "REMOVE_BLOCK audit_holds",
    "MAY_FORGET h",
    "FORGET_USER h",
    "FORGET_SUBJECT h",
    "LAST audit_seals",
    "LOST audit_intents",
    "FORGET_NODES nodes",
    "FORGET_NODES i",
    "LIST c",
    "OPEN_AUTHORIZATIONS_OF_ALL",
    "WITHDRAW_ALL",
    "ADD",
    "CLAIM",
    "COUNTS",
    "KNOWN_SERVERS",
    "COUNT_SEALED",
    "CONSENTS_OF_ALL",
    "EMERGENCY_OF_ALL",
    "GENERATIONS",
    "GRANTS_OF_ALL",
    "LIST keys",
    "MOVE_MASTER",
    "SESSIONS_OF_ALL",
    "PEOPLE",
];

/// No look-up of everyday reads a table from end to end, except where it is meant to.
#[tokio::test]
async fn no_statement_scans_a_table_by_mistake() {
    let meant = BTreeSet::from(MEANT);
    on_empty_sqlite(async |config, path| {
        let engine = Engine::open(config).await.unwrap();
        drop(engine);
        let connection = rusqlite::Connection::open(path).unwrap();
        for statement in store::statements() {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql)).unwrap();
            let count = plan.parameter_count();
            let nothing = vec![rusqlite::types::Null; count];
            let steps: Vec<String> = plan
                .query_map(rusqlite::params_from_iter(nothing), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            for step in steps {
                let table = step.split(' ').nth(1).unwrap_or_default();
                let name = format!("{} {table}", statement.name);
                let scans =
                    step.starts_with("SCAN") && !step.contains("CONSTANT ROW") && !step.contains("USING");
                let excused = meant.contains(statement.name) || meant.contains(name.as_str());
                assert!(!scans || excused, "{name}: {step}");
            }
        }
    })
    .await;
}

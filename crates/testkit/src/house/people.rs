//! The people of a house.

use upstream::connectors::development::Person;

/// Four of them, in two groups.
pub(super) fn people() -> Vec<Person> {
    let person = |login: &str, name: &str, groups: &[&str]| Person {
        login: login.to_owned(),
        name: name.to_owned(),
        email: Some(format!("{login}@example.com")),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    };
    vec![
        person("alice", "Alice Tanaka", &["engineering"]),
        person("bob", "Bob Lindqvist", &["engineering"]),
        person("chika", "Chika Mori", &["finance"]),
        person("dario", "Dario Conti", &["engineering", "finance"]),
    ]
}

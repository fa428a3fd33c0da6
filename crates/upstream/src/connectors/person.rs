//! What providers say of a person, held to the form that it is kept in. Nothing here proves anything.

/// More groups, or longer names, are not believed to be a person's.
pub(super) const MOST_GROUPS: usize = 2000;
const LONGEST_GROUP: usize = 256;
const LONGEST_NAME: usize = 200;
/// RFC 5321, section 4.5.3.1.3, without the brackets.
const LONGEST_EMAIL: usize = 254;

/// The address, if it has the form of one. Whether it is verified is the caller's question.
pub(super) fn address(email: &str) -> Option<&str> {
    let (local, domain) = email.split_once('@')?;
    let formed = email.len() <= LONGEST_EMAIL
        && !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    formed.then_some(email)
}

/// A name to show: without what moves the letters around it, and not endless.
pub(super) fn shown_name(text: &str) -> Option<String> {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown: String = text.chars().filter(|c| !invisible(*c)).take(LONGEST_NAME).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// The groups, sorted, each once. One that cannot be kept makes the list incomplete, and an incomplete list is none.
pub(super) fn whole_groups(list: Vec<String>) -> Option<Vec<String>> {
    let kept = |group: &String| (1..=LONGEST_GROUP).contains(&group.len());
    if list.len() > MOST_GROUPS || !list.iter().all(kept) {
        return None;
    }
    let mut groups = list;
    groups.sort();
    groups.dedup();
    Some(groups)
}

//! Only the port of a loopback `http` URI may differ from what was registered.

use proptest::prelude::*;
use protocol::oauth::RedirectUri;

use super::{Mutation, policy};

/// A URI that may be registered.
pub(super) fn registered() -> impl Strategy<Value = String> {
    let path = "(/[a-zA-Z0-9._~-]{1,6}){0,3}/?";
    let query = r"(\?([a-z]{1,4}=[a-z0-9%]{0,0}[a-z0-9]{0,4}(&x[a-z]{1,3}=[0-9]{0,3}){0,2})?)?";
    let base = prop_oneof![
        r"http://(127\.0\.0\.1|\[::1\]|localhost)(:[1-9][0-9]{0,3})?",
        r"https://[a-z]{1,8}\.example(:[1-9][0-9]{0,3})?",
        "cursor://[a-z]{1,8}\\.[a-z]{1,8}",
    ];
    (base, path, query)
        .prop_map(|(base, path, query)| format!("{base}{path}{query}"))
        .prop_filter("refused by its own rules", |raw| RedirectUri::parse(raw, &policy()).is_ok())
}

/// Written apart from the code: the URI with its port cut out, if its port is free.
fn without_free_port(raw: &str) -> Option<String> {
    let host = ["http://127.0.0.1", "http://[::1]", "http://localhost"]
        .into_iter()
        .find(|host| raw.starts_with(host))?;
    let rest = &raw[host.len()..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let port = &rest[..end];
    let number = port.strip_prefix(':').unwrap_or("1");
    let sound = number.parse::<u32>().is_ok_and(|n| (1..=65535).contains(&n) && n.to_string() == number);
    (sound && (port.is_empty() || port.starts_with(':'))).then(|| format!("{host}{}", &rest[end..]))
}

proptest! {
    #[test]
    fn a_registered_uri_matches_itself(raw in registered()) {
        prop_assert!(RedirectUri::parse(&raw, &policy()).unwrap().matches(&raw));
    }

    /// AS-030, AS-234.
    #[test]
    fn a_mutation_matches_only_if_it_changed_a_free_port(raw in registered(), mutation in Mutation::any()) {
        let mutated = mutation.of(&raw);
        prop_assume!(mutated != raw);
        let free = without_free_port(&raw);
        let expected = free.is_some() && free == without_free_port(&mutated);
        prop_assert_eq!(RedirectUri::parse(&raw, &policy()).unwrap().matches(&mutated), expected, "{} {}", raw, mutated);
    }

    #[test]
    fn every_port_of_a_loopback_uri_matches_and_of_another_none(raw in registered(), port in 1_u16..) {
        let uri = RedirectUri::parse(&raw, &policy()).unwrap();
        match without_free_port(&raw) {
            Some(free) => {
                let host = free.find(['/', '?']).map_or(free.len(), |_| free[7..].find(['/', '?']).map_or(free.len(), |at| at + 7));
                let requested = format!("{}:{port}{}", &free[..host], &free[host..]);
                prop_assert!(uri.matches(&requested), "{}", requested);
            }
            None => {
                let requested = raw.replacen(".example", &format!(".example:{port}"), 1);
                prop_assert!(requested == raw || !uri.matches(&requested), "{}", requested);
            }
        }
    }

    #[test]
    fn two_uris_match_only_if_they_are_the_same_but_for_the_port(one in registered(), other in registered()) {
        let free = without_free_port(&one);
        let expected = one == other || (free.is_some() && free == without_free_port(&other));
        prop_assert_eq!(RedirectUri::parse(&one, &policy()).unwrap().matches(&other), expected);
    }

    #[test]
    fn what_is_accepted_has_one_reading(raw in prop_oneof![
        ".{0,60}",
        "(https?|cursor)://[a-zA-Z0-9.:@\\[\\]%\\\\]{0,20}[/?#a-z.%;&=]{0,20}",
    ]) {
        if let Ok(uri) = RedirectUri::parse(&raw, &policy()) {
            prop_assert_eq!(uri.as_str(), &raw);
            prop_assert!(raw.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\'));
            let url = url::Url::parse(&raw).unwrap();
            prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            // What a browser makes of it differs in the root path, the default port and the case of the host only.
            if raw.starts_with("http") {
                let port = if raw.starts_with("https") { ":443" } else { ":80" };
                let plain = |text: &str| text.to_ascii_lowercase().replacen(port, "", 1);
                let (read, written) = (plain(url.as_str()), plain(&raw));
                prop_assert!(read == written || read.replacen("/?", "?", 1) == written || read == format!("{written}/"), "{} {}", read, written);
            }
        }
    }
}

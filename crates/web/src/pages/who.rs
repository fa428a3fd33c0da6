//! Who is asking, as every page of a sign-in shows it: the name the client gave itself, and, as large, what can be
//! known of where it is (product.md, P-9; pages.md, "The consent page").

use authorization_server::{ClientOnPage, ServerOnPage, Vouching};
use protocol::oauth::Destination;

use crate::text::{self, Piece, Text};

/// The head of a page of a sign-in.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) heading: Vec<Piece>,
    pub(crate) address: Vec<Piece>,
    /// Whether somebody whom we know stands behind the name, and nobody else can be called back in its place.
    pub(crate) vouched: bool,
    pub(crate) place: Vec<Piece>,
    /// The host that vouches, as large as the name (attacks.md, CM-20).
    pub(crate) published: Option<Vec<Piece>>,
    /// What a host in other letters than these looks like in its own.
    pub(crate) letters: Option<Vec<Piece>>,
    pub(crate) voucher: Vec<Piece>,
    /// Whom to beware of, if it can be somebody else's device (RFC 8628, section 5.4).
    pub(crate) beware: Option<&'static str>,
    /// That the client may be another program here (requirements.md, AS-069).
    pub(crate) warning: Option<&'static str>,
}

impl Who {
    pub(crate) fn new(text: &'static Text, client: &ClientOnPage, server: &ServerOnPage) -> Self {
        let heading = match &client.name {
            Some(name) => text::fill(text.wants_to_use, &[("client", name), ("server", &server.title)]),
            None => text::fill(text.nameless_wants_to_use, &[("server", &server.title)]),
        };
        let place = match (&client.asked_from, &client.destination) {
            (Some(address), _) => text::fill(text.on_a_device, &[("address", address)]),
            (None, Destination::Https(host)) => text::fill(text.at_a_host, &[("host", host)]),
            (None, Destination::Loopback(host)) => text::fill(text.on_this_computer, &[("host", host)]),
            (None, Destination::PrivateScheme(scheme)) => {
                text::fill(text.behind_a_scheme, &[("scheme", scheme)])
            }
        };
        let published = match &client.vouched {
            Vouching::Host(host) => Some(text::fill(text.published_at, &[("host", host)])),
            Vouching::Nobody | Vouching::Operator => None,
        };
        let voucher = match (&client.vouched, &client.name) {
            (Vouching::Host(_), Some(name)) => text::fill(text.vouched_by_host, &[("name", name)]),
            (Vouching::Host(_), None) => text::fill(text.nameless_vouched_by_host, &[]),
            (Vouching::Operator, _) => text::fill(text.vouched_by_operator, &[]),
            (Vouching::Nobody, Some(name)) => text::fill(text.unverified_name, &[("name", name)]),
            (Vouching::Nobody, None) => text::fill(text.unverified_nameless, &[]),
        };
        let (elsewhere, warning) = match (&client.asked_from, &client.destination) {
            (Some(_), _) => (false, None),
            (None, Destination::Https(_)) => (true, None),
            (None, Destination::Loopback(_)) => (false, Some(text.any_program_here)),
            (None, Destination::PrivateScheme(_)) => (false, Some(text.any_application_here)),
        };
        Self {
            heading,
            address: text::fill(text.at_address, &[("address", server.resource.as_str())]),
            vouched: match client.vouched {
                Vouching::Host(_) => elsewhere,
                Vouching::Nobody => false,
                Vouching::Operator => true,
            },
            place,
            published,
            letters: other_letters(client)
                .map(|letters| text::fill(text.in_letters, &[("letters", &letters)])),
            voucher,
            beware: client.asked_from.is_some().then_some(text.device_beware),
            warning,
        }
    }
}

/// A host whose name is written in other letters is shown as it is looked up, `xn--…`, which cannot be mistaken for
/// another; and beside it what it stands for (pages.md: punycode).
fn other_letters(client: &ClientOnPage) -> Option<String> {
    let vouching = match &client.vouched {
        Vouching::Host(host) => host.split(':').next(),
        Vouching::Nobody | Vouching::Operator => None,
    };
    let led_to = match &client.destination {
        Destination::Https(host) => Some(host.as_str()),
        Destination::Loopback(_) | Destination::PrivateScheme(_) => None,
    };
    let mut shown: Vec<String> = [led_to, vouching].into_iter().flatten().filter_map(unfold).collect();
    shown.dedup();
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn unfold(host: &str) -> Option<String> {
    let (letters, sound) = idna::domain_to_unicode(host);
    (sound.is_ok() && letters != host).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_in_other_letters_is_shown_in_both() {
        assert_eq!(unfold("xn--e1afmkfd.example").as_deref(), Some("пример.example"));
        assert_eq!(unfold("xn--pple-43d.example").as_deref(), Some("\u{430}pple.example"));
        for plain in ["apple.example", "127.0.0.1", "[::1]", "xn--.example"] {
            assert_eq!(unfold(plain), None, "{plain}");
        }
    }
}

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
    /// Whether somebody whom we know stands behind the name.
    pub(crate) vouched: bool,
    pub(crate) place: Vec<Piece>,
    /// The host that vouches, as large as the name (attacks.md, CM-20).
    pub(crate) published: Option<Vec<Piece>>,
    /// That the client may be another program here (requirements.md, AS-069).
    pub(crate) warning: Option<&'static str>,
    pub(crate) voucher: Vec<Piece>,
    /// Whom to beware of, if it can be somebody else's device (RFC 8628, section 5.4).
    pub(crate) beware: Option<&'static str>,
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
        let name = client.name.as_deref().unwrap_or_default();
        let (published, warning) = match (&client.vouched, &client.destination) {
            (Vouching::Host(host), destination) => {
                let local = matches!(destination, Destination::Loopback(_));
                (
                    Some(text::fill(text.published_at, &[("host", host)])),
                    local.then_some(text.any_program_here),
                )
            }
            (Vouching::Nobody | Vouching::Operator, _) => (None, None),
        };
        let voucher = match (&client.vouched, &client.name) {
            (Vouching::Host(_), _) => text::fill(text.vouched_by_host, &[("name", name)]),
            (Vouching::Operator, _) => text::fill(text.vouched_by_operator, &[]),
            (Vouching::Nobody, Some(name)) => text::fill(text.unverified_name, &[("name", name)]),
            (Vouching::Nobody, None) => text::fill(text.unverified_nameless, &[]),
        };
        Self {
            heading,
            address: text::fill(text.at_address, &[("address", server.resource.as_str())]),
            vouched: client.vouched == Vouching::Operator,
            place,
            published,
            warning,
            voucher,
            beware: client.asked_from.is_some().then_some(text.device_beware),
        }
    }
}

//! Whose fault an error is: it alone chooses the log level and whether somebody is woken (house.md, 1.5).

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The client sent something it must not send.
    Client,
    /// We, or the record below us.
    House,
    /// An identity provider.
    Upstream,
    /// The person at the browser: came late, pressed twice, said no.
    User,
}

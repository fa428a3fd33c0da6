//! The authorization endpoint (attacks.md, 1.1).

mod answer;
mod doors;
mod hostile;
mod person;
mod redirect_uri;
mod request;

//! `[[service_account]]`: machines that act for themselves and not for a person.
//!
//! Which MCP servers one may use stands at the MCP servers (`access`), beside the groups of people.

use super::parse;
use super::reader::Section;
use super::settings::settings;

settings! {
    /// A service account: a machine that acts for itself and not for a person. It cannot log in; it uses the MCP servers
    /// whose `access` holds `service-account:NAME`, and no other. In the audit it has this name, and
    /// `sekisho stop --user service-account:NAME` ends all that it has.
    ServiceAccount = "[[service_account]]" {
        /// Its name.
        name: String = required, "a letter, then up to 30 letters, digits and -", parse::name;
        /// The name that people are shown.
        title: Option<String> = optional, "a text", parse::text;
        /// The clients of `[[client]]` that may act as it, by their `client_id`: each confidential, and for one service
        /// account only.
        clients: Vec<String> = "[]", "a list of client ids", parse::texts;
    }
}

impl ServiceAccount {
    /// The title that people see.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }

    /// Reads every `[[service_account]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Option<Self>> {
        let read = |mut section: Section<'_>| {
            let account = Self::read(&mut section);
            section.finish();
            account
        };
        root.tables("service_account").into_iter().map(read).collect()
    }
}

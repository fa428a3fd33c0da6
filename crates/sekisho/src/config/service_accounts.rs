//! `[[service_account]]`: machines that act for themselves and not for a person.
//!
//! Which MCP servers one may use stands at the MCP servers (`access`), beside the groups of people.

use super::parse;
use super::reader::Section;
use super::settings::settings;
use super::workloads::Workload;

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
        /// account only. None is needed for programs that a platform speaks for (`[[service_account.workload]]`).
        clients: Vec<String> = "[]", "a list of client ids", parse::texts;
    }
}

settings! {
    /// Leave for the service account to act for people by token exchange (RFC 8693): with a person's access token in hand it
    /// gets one of its own, of no more than the person's and no longer life, in which `sub` is the person and `act` is the
    /// service account. Without such a table it acts for nobody.
    MayAct = "[[service_account.may_act]]" {
        /// The MCP server that the person's token is for.
        from: String = required, "the name of one of [[mcp_server]]", parse::name;
        /// The MCP servers that it gets tokens for; if it is left out, that of `from`. The person must be admitted there, and
        /// is not asked once more.
        to: Vec<String> = "[]", "a list of names of [[mcp_server]]", parse::texts;
        /// With which scopes at most; if it is left out, those of the person's token.
        scopes: Vec<String> = "[]", "a list of scopes of those MCP servers", scopes;
        /// Members of which groups it may act for; if it is left out, everybody whose token it holds.
        groups: Vec<String> = "[]", "a list of groups", parse::texts;
    }
}

fn scopes(value: &toml::de::DeValue<'_>) -> Result<Vec<String>, String> {
    let scopes = parse::texts(value)?;
    let sound = scopes.iter().all(|scope| super::scopes::is_scope(scope));
    if sound { Ok(scopes) } else { Err("holds something that is no scope".to_owned()) }
}

/// One service account, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceAccountConfig {
    /// The settings.
    pub settings: ServiceAccount,
    /// `[[service_account.may_act]]`.
    pub may_act: Vec<MayAct>,
    /// `[[service_account.workload]]`.
    pub workloads: Vec<Workload>,
}

impl ServiceAccountConfig {
    /// The title that people see.
    pub fn title(&self) -> &str {
        self.settings.title.as_deref().unwrap_or(&self.settings.name)
    }

    /// Reads every `[[service_account]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Option<Self>> {
        root.tables("service_account").into_iter().map(Self::read_one).collect()
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = ServiceAccount::read(&mut section);
        let read = |mut section: Section<'_>| {
            let rule = MayAct::read(&mut section);
            section.finish();
            rule
        };
        let may_act: Vec<_> = section.tables("may_act").into_iter().map(read).collect();
        let read = |mut section: Section<'_>| {
            let rule = Workload::read(&mut section);
            section.finish();
            rule
        };
        let workloads: Vec<_> = section.tables("workload").into_iter().map(read).collect();
        section.finish();
        Some(Self {
            settings: settings?,
            may_act: may_act.into_iter().collect::<Option<_>>()?,
            workloads: workloads.into_iter().collect::<Option<_>>()?,
        })
    }
}

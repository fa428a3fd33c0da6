//! The operator's policies, from their folder: all of them, or the mistakes in them.
//!
//! A folder that is being written is waited for; one that is gone or empty is a mistake, so that nobody loses their
//! policies by a mount that failed (attacks F-30, CS-18). Must never take a part of the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{KnownServer, Library, PolicyFile};

use crate::commands::Failure;
use crate::config::Config;

const ARGUMENTS: &str = "arguments.cedarschema";

/// The configuration with its policies, which are these files.
pub fn with_policies(mut config: Config, files: Vec<PolicyFile>) -> Result<Config, Failure> {
    config.policies = Arc::new(read(&config, &files)?);
    Ok(config)
}

/// Where the policies are.
pub fn folder(config: &Config) -> Option<PathBuf> {
    config.policy.folder.as_ref().map(|folder| config.folder.join(folder))
}

/// What forbids everything.
pub fn closed() -> PolicyFile {
    let text = "@id(\"closed\") forbid (principal, action, resource);";
    PolicyFile { name: "closed.cedar".to_owned(), text: text.to_owned() }
}

/// These files as the policies of this configuration.
fn read(config: &Config, files: &[PolicyFile]) -> Result<Library, Failure> {
    let servers = config.mcp_servers.iter();
    let known: Vec<KnownServer<'_>> = servers
        .map(|server| KnownServer { name: &server.settings.name, permits: server.access.permits })
        .collect();
    let library = Library::read(files, &known).map_err(Failure::Policies)?;
    let accounts: Vec<&str> =
        config.service_accounts.iter().map(|account| account.settings.name.as_str()).collect();
    let strangers = library.strangers(&accounts);
    if strangers.is_empty() { Ok(library) } else { Err(Failure::Policies(strangers)) }
}

/// The files in their order.
pub fn files(folder: &Path) -> Result<Vec<PolicyFile>, Failure> {
    let unreadable =
        |why: &str| Failure::Arguments(format!("[policy] folder: `{}`: {why}", folder.display()));
    let files = read_files(folder).map_err(|why| unreadable(&why))?;
    if files.iter().all(|file| file.name == ARGUMENTS) {
        return Err(unreadable("it holds no *.cedar; without policies of your own, leave [policy] out"));
    }
    Ok(files)
}

fn read_files(folder: &Path) -> Result<Vec<PolicyFile>, String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|why| why.to_string())? {
        let entry = entry.map_err(|why| why.to_string())?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Editors and volumes keep their own beside the files, with a dot.
        if name.starts_with('.') || !(name.ends_with(".cedar") || name == ARGUMENTS) {
            continue;
        }
        let text = read_file(&entry.path()).map_err(|why| format!("`{name}`: {why}"))?;
        files.push(PolicyFile { name, text });
    }
    files.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(files)
}

/// A link is followed; what is no file in the end, such as a pipe, is not waited for.
fn read_file(path: &Path) -> Result<String, String> {
    let is_file = fs::metadata(path).map_err(|why| why.to_string())?.is_file();
    if !is_file {
        return Err("is no file".to_owned());
    }
    fs::read_to_string(path).map_err(|why| why.to_string())
}

//! `cargo xtask dist`: what is given to others, in `target/dist`: an archive and a Debian package of the release binary
//! with its manual, completions, unit and documentation, a bill of materials, and checksums.
//!
//! What it made is unpacked again and started before it says so. Times, owners and order are fixed: the same source gives
//! the same files, and the archive is packed twice to see it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::repository::{files, root};
use crate::run::{cargo, metadata, must, output};

mod bill;
mod debian;

/// Where a file of the tree belongs under `/`. The documentation comes beside them, whole.
const FILES: [(&str, &str); 8] = [
    ("LICENSE", "usr/share/doc/sekisho/LICENSE"),
    ("README.md", "usr/share/doc/sekisho/README.md"),
    ("CHANGELOG.md", "usr/share/doc/sekisho/CHANGELOG.md"),
    ("SECURITY.md", "usr/share/doc/sekisho/SECURITY.md"),
    ("docs/configuration.schema.json", "usr/share/sekisho/configuration.schema.json"),
    ("deploy/systemd/sekisho.service", "usr/lib/systemd/system/sekisho.service"),
    ("deploy/systemd/sekisho.sysusers", "usr/lib/sysusers.d/sekisho.conf"),
    ("deploy/debian/sekisho.toml", "usr/share/doc/sekisho/examples/sekisho.toml"),
];

/// What is made, and where.
struct Dist {
    /// `target/dist`.
    folder: PathBuf,
    /// As the binary says it.
    version: String,
    /// In Debian's words.
    architecture: &'static str,
    /// The time of the source, in seconds since 1970: `SOURCE_DATE_EPOCH`, or that of the last commit.
    time: String,
    /// `sekisho-VERSION-linux-ARCHITECTURE`.
    name: String,
}

/// Builds, packs, and looks at what was packed.
pub(crate) fn run() -> Result<(), Failure> {
    let binary = binary()?;
    let dist = Dist::of(&binary)?;
    if dist.folder.exists() {
        fs::remove_dir_all(&dist.folder)?;
    }
    let stage = dist.folder.join(&dist.name);
    stage_files(&stage, &binary)?;
    let mut made = vec![dist.archive()?, dist.bill()?];
    made.extend(debian::pack(&dist, &stage)?);
    fs::remove_dir_all(&stage)?;
    let sums = output(Command::new("sha256sum").current_dir(&dist.folder).args(&made))?;
    fs::write(dist.folder.join("SHA256SUMS"), &sums)?;
    dist.look()?;
    println!("\nin {}:\n{sums}", dist.folder.display());
    Ok(())
}

/// `cargo xtask licences FILE`.
pub(crate) fn licences(file: &str) -> Result<(), Failure> {
    fs::write(file, bill::licences()?)?;
    Ok(())
}

/// The release binary without the paths of this machine in it, so that it does not matter where it was built. Other flags
/// are another build: it has a folder of its own.
fn binary() -> Result<PathBuf, Failure> {
    let target = target()?.join("dist-build");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or("neither CARGO_HOME nor HOME is set")?;
    let flags = [(target.clone(), "/target"), (root(), "/sekisho"), (home, "/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let c_flags = flags.clone().map(|flag| flag.replace("--remap-path-prefix", "-ffile-prefix-map"));
    let mut build = cargo(&["build", "--release", "--locked", "--package", "sekisho", "--target-dir"]);
    build.arg(&target).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    must(build.env("CFLAGS", c_flags.join(" ")))?;
    Ok(target.join("release/sekisho"))
}

fn target() -> Result<PathBuf, Failure> {
    Ok(metadata()?["target_directory"].as_str().ok_or("cargo metadata names no target directory")?.into())
}

fn version(binary: &Path) -> Result<String, Failure> {
    let said = output(Command::new(binary).arg("--version"))?;
    Ok(said.split_whitespace().nth(1).ok_or("`sekisho --version` names no version")?.to_owned())
}

fn architecture() -> Result<&'static str, Failure> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(format!("no package is made for `{other}`").into()),
    }
}

fn time() -> Result<String, Failure> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given.parse::<u64>().map(|_| given).map_err(|_| "SOURCE_DATE_EPOCH is not a time".into());
    }
    let said = output(Command::new("git").current_dir(root()).args(["log", "-1", "--format=%ct"]))?;
    Ok(said.trim().to_owned())
}

/// The tree as it will stand under `/`.
fn stage_files(stage: &Path, binary: &Path) -> Result<(), Failure> {
    put(binary, &stage.join("usr/bin/sekisho"), 0o755)?;
    for (from, to) in FILES {
        put(&root().join(from), &stage.join(to), 0o644)?;
    }
    let documentation = stage.join("usr/share/doc/sekisho");
    for file in files()?.iter().filter(|file| file.path.starts_with("docs/")) {
        write(&documentation.join(&file.path), &file.text)?;
    }
    write(&documentation.join("third-party-licences.txt"), &bill::licences()?)?;
    let docs = |words: &[&str]| output(Command::new(binary).arg("docs").args(words));
    for (shell, to) in [
        ("bash", "usr/share/bash-completion/completions/sekisho"),
        ("zsh", "usr/share/zsh/vendor-completions/_sekisho"),
        ("fish", "usr/share/fish/vendor_completions.d/sekisho.fish"),
    ] {
        write(&stage.join(to), &docs(&["completions", shell])?)?;
    }
    let manual = stage.join("usr/share/man/man1");
    fs::create_dir_all(&manual)?;
    must(Command::new(binary).args(["docs", "man"]).arg(&manual))?;
    // Whoever builds may have a umask of their own.
    must(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(stage))
}

fn write(to: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()).into())
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<(), Failure> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

impl Dist {
    fn of(binary: &Path) -> Result<Self, Failure> {
        let (version, architecture) = (version(binary)?, architecture()?);
        let name = format!("sekisho-{version}-linux-{architecture}");
        Ok(Self { folder: target()?.join("dist"), version, architecture, time: time()?, name })
    }

    fn tar(&self, file: &str) -> Result<(), Failure> {
        let mut tar = Command::new("tar");
        tar.current_dir(&self.folder).args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
        tar.arg(format!("--mtime=@{}", self.time))
            .args(["--format=gnu", "--use-compress-program=gzip -n -9"]);
        must(tar.args(["-cf", file, &self.name]))
    }

    /// The archive, packed twice: what came out must be the same.
    fn archive(&self) -> Result<String, Failure> {
        let (file, again) = (format!("{}.tar.gz", self.name), "again.tar.gz");
        self.tar(&file)?;
        self.tar(again)?;
        if fs::read(self.folder.join(&file))? != fs::read(self.folder.join(again))? {
            return Err("the archive is another one each time it is packed".into());
        }
        fs::remove_file(self.folder.join(again))?;
        Ok(file)
    }

    fn bill(&self) -> Result<String, Failure> {
        let mut date = Command::new("date");
        date.args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"]).arg(format!("@{}", self.time));
        let file = format!("{}.cdx.json", self.name);
        fs::write(self.folder.join(&file), bill::materials(&self.version, output(&mut date)?.trim())?)?;
        Ok(file)
    }

    /// Unpacks what was packed, as somebody does who was given it, and starts it.
    fn look(&self) -> Result<(), Failure> {
        must(Command::new("sha256sum").current_dir(&self.folder).args(["--check", "--quiet", "SHA256SUMS"]))?;
        let seen = self.folder.join("look");
        fs::create_dir_all(&seen)?;
        must(Command::new("tar").current_dir(&seen).args(["-xf", &format!("../{}.tar.gz", self.name)]))?;
        let tree = seen.join(&self.name);
        let mut trees = vec![tree];
        let package = debian::file(self);
        if self.folder.join(&package).exists() {
            must(Command::new("dpkg-deb").current_dir(&seen).args(["-x", &format!("../{package}"), "deb"]))?;
            trees.push(seen.join("deb"));
        }
        for tree in trees {
            let said = version(&tree.join("usr/bin/sekisho"))?;
            if said != self.version {
                return Err(format!("{} holds version {said}", tree.display()).into());
            }
        }
        fs::remove_dir_all(seen)?;
        Ok(())
    }
}

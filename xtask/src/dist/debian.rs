//! The Debian package: the tree of the archive, with what Debian asks for beside it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Dist, put, write};
use crate::Failure;
use crate::repository::root;
use crate::run::{must, output};

/// Scripts and lists of the package, in `deploy/debian`.
const CONTROL: [(&str, u32); 4] =
    [("conffiles", 0o644), ("postinst", 0o755), ("prerm", 0o755), ("postrm", 0o755)];

/// As in `deploy/debian/control`.
const MAINTAINER: &str = "The Sekisho maintainers <maintainers@sekisho.invalid>";

/// How the package is called.
pub(super) fn file(dist: &Dist) -> String {
    format!("sekisho_{}_{}.deb", dist.version, dist.architecture)
}

/// `None` where Debian's tool is not at hand, which is said.
pub(super) fn pack(dist: &Dist, stage: &Path) -> Result<Option<String>, Failure> {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        println!("no Debian package: `dpkg-deb` is not on this machine");
        return Ok(None);
    }
    let tree = dist.folder.join("debian");
    must(Command::new("cp").arg("-a").arg(stage).arg(&tree))?;
    as_debian_wants(dist, &tree)?;
    let control = tree.join("DEBIAN");
    for (name, mode) in CONTROL {
        put(&root().join("deploy/debian").join(name), &control.join(name), mode)?;
    }
    let size = output(Command::new("du").args(["-sk", "--apparent-size", "--exclude=DEBIAN"]).arg(&tree))?;
    let needs = format!("adduser, libc6 (>= {}), libgcc-s1", libc(&tree.join("usr/bin/sekisho"))?);
    let text = fs::read_to_string(root().join("deploy/debian/control"))?
        .replace("@VERSION@", &dist.version)
        .replace("@ARCHITECTURE@", dist.architecture)
        .replace("@DEPENDS@", &needs)
        .replace("@SIZE@", size.split_whitespace().next().unwrap_or("0"));
    write(&control.join("control"), &text)?;
    write(&control.join("md5sums"), &sums(&tree)?)?;
    let file = file(dist);
    let mut pack = Command::new("dpkg-deb");
    pack.current_dir(&dist.folder).env("SOURCE_DATE_EPOCH", &dist.time);
    must(pack.args(["--root-owner-group", "--uniform-compression", "--build", "debian", &file]))?;
    fs::remove_dir_all(tree)?;
    Ok(Some(file))
}

/// The configuration in its place; manual and changelog compressed; the licence where it is looked for.
fn as_debian_wants(dist: &Dist, tree: &Path) -> Result<(), Failure> {
    put(&root().join("deploy/debian/sekisho.toml"), &tree.join("etc/sekisho/sekisho.toml"), 0o640)?;
    let documentation = tree.join("usr/share/doc/sekisho");
    put(&root().join("deploy/debian/copyright"), &documentation.join("copyright"), 0o644)?;
    fs::remove_file(documentation.join("LICENSE"))?;
    let date =
        output(Command::new("date").args(["--utc", "--rfc-email", "--date"]).arg(format!("@{}", dist.time)))?;
    let entry = format!(
        "sekisho ({}) unstable; urgency=medium\n\n  * What is new is in CHANGELOG.md.\n\n -- {MAINTAINER}  {date}",
        dist.version
    );
    write(&documentation.join("changelog"), &entry)?;
    let mut gzip = Command::new("gzip");
    gzip.args(["-n", "-9"]).arg(documentation.join("changelog"));
    gzip.arg("--recursive").arg(tree.join("usr/share/man"));
    must(&mut gzip)
}

/// The newest version of the C library that the binary asks for, by the names of its symbols.
fn libc(binary: &Path) -> Result<String, Failure> {
    const MARK: &[u8] = b"GLIBC_2.";
    let bytes = fs::read(binary)?;
    let after = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let minor = after.filter_map(|(at, _)| {
        let digits: String = bytes[at + MARK.len()..]
            .iter()
            .map(|&b| char::from(b))
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse::<u32>().ok()
    });
    Ok(format!("2.{}", minor.max().ok_or("the binary is not linked with glibc")?))
}

/// `md5sums`, by which `dpkg --verify` finds files that were damaged.
fn sums(tree: &Path) -> Result<String, Failure> {
    let find = "find usr -type f -print0 | sort -z | xargs -0 md5sum";
    output(Command::new("sh").current_dir(tree).args(["-c", find]).env("LC_ALL", "C"))
}

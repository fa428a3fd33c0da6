use crate::process::{Folder, MASTER_KEY, mode, text};

const NOWHERE: &str = "http://127.0.0.1:9/mcp";

fn refusal(folder: &Folder) -> String {
    let output = folder.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(!said.contains(MASTER_KEY), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn st_04_a_missing_master_key_stops_the_start_and_makes_no_new_one() {
    let folder = Folder::new(NOWHERE);
    folder.serve().kill();
    std::fs::remove_file(folder.path("master.key")).unwrap();
    let said = refusal(&folder);
    assert!(said.contains("master.key"), "{said}");
    assert!(!folder.path("master.key").exists());
    folder.write_key(MASTER_KEY);
    folder.serve().kill();
}

#[test]
fn st_04_another_master_key_stops_the_start_and_changes_nothing() {
    let folder = Folder::new(NOWHERE);
    folder.serve().kill();
    folder.write_key(&MASTER_KEY.replace("00", "ff"));
    let said = refusal(&folder);
    assert!(said.contains("master key is not the one of this record"), "{said}");
    folder.write_key(MASTER_KEY);
    folder.serve().kill();
}

#[test]
fn a_master_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new(NOWHERE);
    std::fs::set_permissions(folder.path("master.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = refusal(&folder);
    assert!(said.contains("chmod 600"), "{said}");
    assert!(!folder.path("record.db").exists());
}

#[test]
fn a_master_key_that_is_none_is_refused() {
    let folder = Folder::new(NOWHERE);
    for wrong in
        ["short", "not/a*key", "", "0000000000000000000000000000000000000000000000000000000000000000"]
    {
        folder.write_key(wrong);
        refusal(&folder);
        assert!(!folder.path("record.db").exists());
    }
}

#[test]
fn st_17_the_record_is_for_its_owner_only() {
    let folder = Folder::new(NOWHERE);
    let running = folder.serve();
    assert_eq!(mode(&folder.path("record.db")), 0o600);
    assert_eq!(mode(&folder.path("record.db-wal")), 0o600);
    running.kill();
}

#[test]
fn another_public_url_over_existing_data_is_refused() {
    let folder = Folder::new(NOWHERE);
    folder.serve().kill();
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let moved =
        config.replace(&format!("public_url = \"{}\"", folder.issuer), "public_url = \"http://localhost:1\"");
    std::fs::write(folder.config(), moved).unwrap();
    let said = refusal(&folder);
    assert!(said.contains("public_url"), "{said}");
}

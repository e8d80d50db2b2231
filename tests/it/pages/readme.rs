//! Tests that the example of README.md is `examples/transfer.rs`, and runs in an empty folder.

use std::fs;
use std::process::Command;

use kit::servers::workspace;

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let (_, shown) = readme.split_once("```rust,no_run\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let example = fs::read_to_string(workspace().join("examples/transfer.rs")).unwrap();
    let (_, example) = example
        .split_once("\n\n")
        .expect("the example begins with the header of its file");
    assert_eq!(shown, example);
}

#[test]
fn the_readme_has_at_most_200_lines() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 200);
}

/// The example has the features of this program, so that the present build is reused.
#[test]
fn the_example_of_the_readme_commits_to_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = workspace().join("Cargo.toml");
    let run = || {
        let ran = Command::new(env!("CARGO"))
            .args([
                "run",
                "--quiet",
                "--all-features",
                "--example",
                "transfer",
                "--manifest-path",
            ])
            .arg(&manifest)
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        String::from_utf8(ran.stdout).unwrap()
    };
    // The tables exist in the second run.
    for _ in 0..2 {
        assert!(run().starts_with("committed unit "));
    }
    for file in ["accounts.db", "ledger.db"] {
        assert!(folder.path().join(file).metadata().unwrap().len() > 0);
    }
}

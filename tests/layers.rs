//! The layer table of ARCHITECTURE.md holds: a module imports only from rows above its own.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn modules_import_only_from_rows_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let layers = layers(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let row = |module: &str| layers.iter().position(|layer| layer == module);
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for file in rust_files(&root.join("src")) {
        let path = file.strip_prefix(root.join("src")).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        // Programs are crates of their own: what they can use of this one is public.
        if matches!(module, "lib" | "bin") {
            continue;
        }
        let own = row(module).unwrap_or_else(|| panic!("`{module}` is not in the layer table"));
        for imported in crate_paths(&fs::read_to_string(&file).unwrap()) {
            looked_at += 1;
            match row(&imported) {
                Some(other) if other <= own => {}
                _ => wrong.push(format!("{}: crate::{imported}", path.display())),
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at} imports were found");
    assert!(
        wrong.is_empty(),
        "against the layers:\n{}",
        wrong.join("\n")
    );
}

/// The first column of the table under the heading "Layers".
fn layers(architecture: &str) -> Vec<String> {
    let (_, section) = architecture.split_once("## Layers").unwrap();
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(module, _)| module.to_owned())
        .collect()
}

/// What follows `crate::` in code, but not in documentation and not in macros for users.
fn crate_paths(source: &str) -> Vec<String> {
    source
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .filter(|module: &String| !module.is_empty())
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

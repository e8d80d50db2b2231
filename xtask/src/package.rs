//! `cargo xtask package`: checks the metadata, the files and the build of each crate as it is published.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, run, run_quietly};
use crate::metadata::{Metadata, PUBLISHED, Package};
use crate::workspace;

/// Files that every crate has.
const NEEDED: [&str; 4] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Endings of the files that a crate may have.
const ENDINGS: [&str; 6] = ["md", "orig", "rs", "sql", "toml", "txt"];

/// Folders and files that only development needs.
const UNWANTED: [&str; 9] = [
    "benches", "fixtures", "kit", "load", "proof", "target", "tests", "tests.rs", "xtask",
];

/// The largest size of a file in a crate, in bytes.
const LARGEST: u64 = 256 * 1024;

/// The workspace of the unpacked crates. The profile is that of ours, so that compiled dependencies are reused.
const WORKSPACE: &str = r#"
[workspace]
resolver = "3"
members = ["diesel-binds*"]

[profile.dev]
debug = "line-tables-only"

[patch.crates-io]
"#;

/// Checks the files of each crate, packs all crates, unpacks them again, and compiles them there.
pub(crate) fn package() -> Result<()> {
    let metadata = Metadata::read()?;
    // cargo would build each crate alone, and the dependencies anew for each.
    let mut pack = cargo(&["package", "--no-verify", "--allow-dirty"]);
    for name in PUBLISHED {
        let package = metadata.package(name)?;
        complete(package).with_context(|| format!("{name} cannot be published"))?;
        look_through(package)?;
        pack.args(["--package", name]);
    }
    run(&mut pack)?;
    let folder = unpack(&metadata)?;
    run(
        cargo(&["check", "--workspace", "--lib", "--bins", "--all-features"])
            .arg("--target-dir")
            .arg(&metadata.target_directory)
            .current_dir(folder),
    )
}

/// Unpacks the crates side by side, each as the dependency of the others.
fn unpack(metadata: &Metadata) -> Result<PathBuf> {
    let packed = metadata.target_directory.join("package");
    let folder = packed.join("unpacked");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut manifest = WORKSPACE.to_owned();
    for name in PUBLISHED {
        let versioned = format!("{name}-{}", metadata.package(name)?.version);
        let file = packed.join(format!("{versioned}.crate"));
        let size = file
            .metadata()
            .with_context(|| file.display().to_string())?;
        eprintln!("{}: {} KiB", file.display(), size.len() / 1024);
        run(Command::new("tar")
            .arg("-xzf")
            .arg(&file)
            .arg("-C")
            .arg(&folder))?;
        manifest.push_str(&format!("{name} = {{ path = \"{versioned}\" }}\n"));
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(
        workspace::root().join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )?;
    Ok(folder)
}

/// Refuses incomplete metadata. `repository` is not required: there is no public address yet.
fn complete(package: &Package) -> Result<()> {
    let missing: Vec<&str> = [
        ("description", package.description.is_none()),
        ("license", package.license.is_none()),
        ("readme", package.readme.is_none()),
        ("rust-version", package.rust_version.is_none()),
        ("keywords", !(1..=5).contains(&package.keywords.len())),
        ("categories", package.categories.is_empty()),
    ]
    .into_iter()
    .filter_map(|(field, missing)| missing.then_some(field))
    .collect();
    if !missing.is_empty() {
        bail!("its Cargo.toml lacks {}", missing.join(", "));
    }
    Ok(())
}

fn look_through(package: &Package) -> Result<()> {
    let name = &package.name;
    let mut list = cargo(&["package", "--list", "--allow-dirty", "--package", name]);
    let printed = run_quietly(&mut list)?;
    let files: Vec<&str> = printed.lines().collect();
    eprintln!("{name}:\n  {}", files.join("\n  "));
    let mut wrong: Vec<String> = NEEDED
        .iter()
        .filter(|needed| !files.contains(*needed))
        .map(|needed| format!("{needed} is missing"))
        .collect();
    let folder = package
        .manifest_path
        .parent()
        .context("it is in a folder")?;
    for file in files {
        wrong.extend(objection(folder, file).map(|why| format!("{file} {why}")));
    }
    if !wrong.is_empty() {
        bail!("the package {name}:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// Returns the reason why a file does not belong into a package.
fn objection(folder: &Path, file: &str) -> Option<String> {
    // cargo writes these.
    if matches!(file, ".cargo_vcs_info.json" | "Cargo.lock") {
        return None;
    }
    let path = Path::new(file);
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let unwanted = path.components().find_map(|component| match component {
        Component::Normal(step) => UNWANTED.into_iter().find(|unwanted| *unwanted == step),
        _ => None,
    });
    match unwanted {
        Some(unwanted) => return Some(format!("is `{unwanted}`, or in it")),
        None if file.starts_with("LICENSE-") || ENDINGS.contains(&&*ending) => {}
        None => return Some("is of a kind that no package may have".to_owned()),
    }
    // The manifest is rewritten: the original has the suffix.
    let original = file.strip_suffix(".orig").unwrap_or(file);
    match folder.join(original).metadata() {
        Ok(found) if found.len() > LARGEST => Some(format!("has {} KiB", found.len() / 1024)),
        Ok(_) => None,
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

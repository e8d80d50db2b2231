//! Tests that `docs/errors.md` has each variant of the public enums of errors, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kit::servers::workspace;
use syn::{Attribute, Item, UseTree, Visibility};

use super::excerpts::files;

/// Enums by their names, with the names of their variants.
type Enums = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_page_of_errors_has_each_variant_and_no_other() {
    let (all, errors) = enums();
    let public = public_names();
    let sections = read_sections();
    let mut wrong = Vec::new();
    let mut held = 0;
    for (name, variants) in errors.iter().filter(|(name, _)| public.contains(*name)) {
        held += 1;
        let entries = sections.get(name).cloned().unwrap_or_default();
        let missing = variants.difference(&entries);
        wrong.extend(missing.map(|variant| format!("{name}::{variant} has no entry")));
    }
    for (name, entries) in &sections {
        match all.get(name) {
            None => wrong.push(format!("{name} is no enum")),
            Some(_) if !public.contains(name) => wrong.push(format!("{name} is not public")),
            Some(variants) => {
                let others = entries.difference(variants);
                wrong.extend(others.map(|entry| format!("{name}::{entry} is no variant")));
                let missing = variants.difference(entries);
                wrong.extend(missing.map(|variant| format!("{name}::{variant} has no entry")));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(held >= 10, "only {held} enums of errors were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the enums on the page, each a section, with the variants in its table.
fn read_sections() -> Enums {
    let page = fs::read_to_string(workspace().join("docs/errors.md")).unwrap();
    let mut sections = Enums::new();
    for section in page.split("\n## ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        let Some(name) = heading.strip_prefix('`').and_then(|h| h.strip_suffix('`')) else {
            continue;
        };
        let entries = text.lines().filter_map(|line| {
            let (entry, _) = line.strip_prefix("| `")?.split_once("` |")?;
            Some(entry.to_owned())
        });
        sections.insert(name.to_owned(), entries.collect());
    }
    sections
}

/// Returns all enums of the library, and those of them that are errors or parts of errors.
fn enums() -> (Enums, Enums) {
    let (mut all, mut errors) = (Enums::new(), Enums::new());
    for file in files(&workspace().join("src"), "rs") {
        for item in parse(&file) {
            if let Item::Enum(item) = item
                && matches!(item.vis, Visibility::Public(_))
            {
                let variants = item.variants.iter().map(|v| v.ident.to_string());
                let variants: BTreeSet<String> = variants.collect();
                if item.attrs.iter().any(derives_error) || file.ends_with("src/error.rs") {
                    errors.insert(item.ident.to_string(), variants.clone());
                }
                all.insert(item.ident.to_string(), variants);
            }
        }
    }
    (all, errors)
}

/// Returns whether an attribute derives the trait of errors, or their `Debug`.
fn derives_error(attribute: &Attribute) -> bool {
    let mut derives = false;
    if attribute.path().is_ident("derive") {
        let _ = attribute.parse_nested_meta(|meta| {
            let last = meta.path.segments.last().map(|s| s.ident.to_string());
            derives |= matches!(last.as_deref(), Some("Error" | "ErrorDebug"));
            Ok(())
        });
    }
    derives
}

/// Returns the names that the root of the crate exports, and its public modules.
fn public_names() -> BTreeSet<String> {
    let root = workspace().join("src");
    let mut names = BTreeSet::new();
    let items = parse(&root.join("lib.rs"));
    for item in &items {
        if let Item::Mod(module) = item
            && matches!(module.vis, Visibility::Public(_))
            && module.content.is_none()
        {
            let name = module.ident.to_string();
            let file = [
                root.join(&name).join("mod.rs"),
                root.join(name).with_extension("rs"),
            ];
            let file = file.into_iter().find(|file| file.exists());
            export(&parse(&file.expect("a module is a file")), &mut names);
        }
    }
    export(&items, &mut names);
    names
}

fn export(items: &[Item], names: &mut BTreeSet<String>) {
    for item in items {
        match item {
            Item::Use(item) if matches!(item.vis, Visibility::Public(_)) => {
                leaves(&item.tree, names)
            }
            Item::Enum(item) if matches!(item.vis, Visibility::Public(_)) => {
                names.insert(item.ident.to_string());
            }
            Item::Mod(module) if matches!(module.vis, Visibility::Public(_)) => {
                if let Some((_, items)) = &module.content {
                    export(items, names);
                }
            }
            _ => {}
        }
    }
}

fn leaves(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, names)),
        UseTree::Name(name) => {
            names.insert(name.ident.to_string());
        }
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

fn parse(file: &Path) -> Vec<Item> {
    let file: PathBuf = file.to_owned();
    let text = fs::read_to_string(&file).unwrap();
    let parsed = syn::parse_file(&text);
    parsed
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .items
}

mod shown {
    /// Returns the message of an error and of its causes.
    fn report(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    #[test]
    fn a_report_says_what_the_debug_of_an_error_says() {
        let source = diesel::result::Error::NotFound;
        let error = diesel_binds::Error::Query {
            bind: "accounts",
            source,
        };
        assert_eq!(report(&error), format!("{error:?}"));
    }
}

//! Checks that each link within the generated documentation leads to a page, and to a place on that page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::metadata::Metadata;

/// Links in the documentation of `tracing`, whose methods every type has. rustdoc cannot follow them without its pages.
const OF_TRACING: [&str; 4] = [
    "crate::Span",
    "dispatcher#setting-the-default-subscriber",
    "super::Span::current()",
    "super::Subscriber",
];

/// The links of a page, and the names of its places.
struct Page {
    links: BTreeSet<String>,
    places: BTreeSet<String>,
}

/// Follows every link on the pages of the library that stays within the documentation.
pub(crate) fn follow() -> Result<()> {
    let root = Metadata::read()?.target_directory.join("doc");
    let mut pages = BTreeMap::new();
    read(&root.join("diesel_binds"), &mut pages)?;
    let mut followed = 0;
    let mut broken = Vec::new();
    for (file, page) in &pages {
        for link in page.links.iter().filter(|link| !is_elsewhere(link)) {
            followed += 1;
            if !leads_there(&root, file, link, &pages) {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    eprintln!("followed {followed} links on {} pages", pages.len());
    if followed < 1000 {
        bail!("this check finds too few links");
    }
    if !broken.is_empty() {
        bail!("these links lead nowhere:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

fn leads_there(root: &Path, file: &Path, link: &str, pages: &BTreeMap<PathBuf, Page>) -> bool {
    let (path, place) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => file.to_owned(),
        path => joined(file.parent().unwrap_or(file), path),
    };
    match pages.get(&target) {
        Some(page) => place.is_empty() || page.places.contains(place),
        // Sources, and files that all pages share.
        None => target.starts_with(root) && target.is_file(),
    }
}

fn is_elsewhere(link: &str) -> bool {
    link.contains("://") || link.starts_with("mailto:") || OF_TRACING.contains(&link)
}

fn read(folder: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, pages)?;
        } else if path.extension().is_some_and(|ending| ending == "html") {
            let text = fs::read_to_string(&path)?;
            let attribute = |name: &str| {
                let values = text.split(name).skip(1);
                let values = values.filter_map(|rest| rest.split('"').next());
                values.map(|value| value.replace("&amp;", "&")).collect()
            };
            let page = Page {
                links: attribute(" href=\""),
                places: attribute(" id=\""),
            };
            pages.insert(path, page);
        }
    }
    Ok(())
}

/// Joins two paths and resolves the steps upward.
fn joined(folder: &Path, file: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(file).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            component => path.push(component),
        }
    }
    path
}

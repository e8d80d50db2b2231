//! Tests that each relative link in the documentation leads to a file, and to a heading of that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use kit::servers::workspace;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::excerpts::files;

/// The links of a page, and the names of its headings.
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

#[test]
fn each_relative_link_leads_to_a_file_and_a_heading() {
    let root = workspace();
    let mut pages: Vec<PathBuf> = files(&root.join("docs"), "md");
    for page in [
        "README",
        "ARCHITECTURE",
        "CHANGELOG",
        "CONTRIBUTING",
        "cli/README",
    ] {
        pages.push(root.join(page).with_extension("md"));
    }
    let read: BTreeMap<PathBuf, Page> = pages
        .into_iter()
        .map(|path| {
            let page = Page::read(&fs::read_to_string(&path).unwrap());
            (path, page)
        })
        .collect();
    let mut looked_at = 0;
    let mut broken = Vec::new();
    for (path, page) in &read {
        for link in page.links.iter().filter(|link| !is_elsewhere(link)) {
            looked_at += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => joined(path.parent().unwrap(), file),
            };
            let leads_there = match (read.get(&target), anchor) {
                (Some(_), "") => true,
                (Some(page), anchor) => page.anchors.contains(anchor),
                // Lines of a source file have no heading.
                (None, anchor) => anchor.is_empty() && target.exists(),
            };
            if !leads_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at} links were found");
    assert!(broken.is_empty(), "they lead nowhere: {broken:#?}");
}

#[test]
fn two_headings_of_one_name_have_two_anchors() {
    let page = Page::read("# A `b` C\n\n## A b, c!\n\n[x](#y)\n\n```text\n# no heading\n```\n");
    assert_eq!(page.anchors, ["a-b-c", "a-b-c-1"].map(str::to_owned).into());
    assert_eq!(page.links, ["#y"]);
}

fn is_elsewhere(link: &str) -> bool {
    link.contains("://") || link.starts_with("mailto:")
}

/// Joins a path, and resolves its steps upward.
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

impl Page {
    fn read(text: &str) -> Self {
        let mut links = Vec::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = BTreeSet::new();
        let mut heading = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let times = seen.entry(anchor.clone()).or_default();
                    anchors.insert(match *times {
                        0 => anchor,
                        times => format!("{anchor}-{times}"),
                    });
                    *times += 1;
                }
                _ => {}
            }
        }
        Self { links, anchors }
    }
}

/// Returns the anchor that a forge gives to a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

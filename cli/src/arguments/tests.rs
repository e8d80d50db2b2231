//! Tests that `docs/command-line.md` has every command and flag, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::Arguments;

/// Flags of other programs that the page names.
const FOREIGN: [&str; 6] = [
    "config-file",
    "database-url",
    "locked-schema",
    "migration-dir",
    "number",
    "path",
];

/// The section with the flags of all commands, and the section with the flags that select binds.
const GLOBAL: &str = "Every command";
const SELECTION: &str = "setup";

/// Returns the text of the page, by the headings of its sections.
fn sections() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/command-line.md");
    let page = fs::read_to_string(page).unwrap();
    page.split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .map(|(heading, text)| (heading.to_owned(), text.to_owned()))
        .collect()
}

/// Returns every flag of a text, in its spelling there.
fn flags(text: &str) -> BTreeSet<String> {
    text.split("--")
        .skip(1)
        .map(|flag| {
            let end = flag.find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
            flag[..end.unwrap_or(flag.len())].to_owned()
        })
        .filter(|flag| flag.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

fn long_flags(command: &Command) -> BTreeSet<String> {
    let flags = command.get_arguments().filter_map(|flag| flag.get_long());
    flags.map(str::to_owned).collect()
}

/// Returns a command and all its subcommands, each with its full name.
fn all<'c>(name: &str, command: &'c Command) -> Vec<(String, &'c Command)> {
    let below = command.get_subcommands().flat_map(|below| {
        let name = format!("{name} {}", below.get_name());
        all(&name, below)
    });
    [(name.to_owned(), command)]
        .into_iter()
        .chain(below)
        .collect()
}

#[test]
fn the_page_has_every_command_and_flag() {
    let sections = sections();
    let arguments = Arguments::command();
    let mut missing = Vec::new();
    for flag in long_flags(&arguments) {
        if !flags(&sections[GLOBAL]).contains(&flag) {
            missing.push(format!("--{flag} in `{GLOBAL}`"));
        }
    }
    for top in arguments.get_subcommands() {
        let Some(section) = sections.get(top.get_name()) else {
            missing.push(format!("a section `{}`", top.get_name()));
            continue;
        };
        for (name, command) in all(&format!("diesel-binds {}", top.get_name()), top) {
            if !command.has_subcommands() && !section.contains(&format!("`{name}")) {
                missing.push(format!("`{name}`"));
            }
            for flag in long_flags(command) {
                let section = match flag.as_str() {
                    "bind" | "all" => &sections[SELECTION],
                    _ => section,
                };
                if !flags(section).contains(&flag) {
                    missing.push(format!("--{flag} of `{name}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not on the page: {missing:#?}");
}

#[test]
fn the_page_has_no_other_command_or_flag() {
    let arguments = Arguments::command();
    let commands = all("diesel-binds", &arguments);
    let mut known: BTreeSet<String> = FOREIGN.map(str::to_owned).into();
    known.extend(["help", "version"].map(str::to_owned));
    known.extend(commands.iter().flat_map(|(_, command)| long_flags(command)));
    let mut unknown = Vec::new();
    for (heading, text) in sections() {
        unknown.extend(
            flags(&text)
                .difference(&known)
                .map(|flag| format!("--{flag}")),
        );
        let spans = text.split('`').skip(1).step_by(2);
        for span in spans.filter(|span| span.starts_with("diesel-binds ")) {
            let known = commands.iter().any(|(name, command)| {
                !command.has_subcommands() && span.starts_with(name.as_str())
            });
            if !known {
                unknown.push(format!("`{span}` in `{heading}`"));
            }
        }
        let is_prose = ["The manifest", GLOBAL].contains(&heading.as_str());
        if !is_prose && arguments.find_subcommand(&heading).is_none() {
            unknown.push(format!("a section `{heading}`"));
        }
    }
    assert!(unknown.is_empty(), "on the page alone: {unknown:#?}");
}

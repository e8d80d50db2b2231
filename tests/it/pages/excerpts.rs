//! Tests that each block of Rust in a page is an excerpt of a compiled file.

use std::fs;
use std::path::{Path, PathBuf};

use kit::servers::workspace;

/// The places of the code of the pages.
const CODE: [&str; 3] = ["examples", "tests/crates", "tests/it/pages"];

/// A block of Rust in a page.
struct Block {
    page: String,
    line: usize,
    code: String,
}

#[test]
fn each_block_of_rust_in_a_page_is_compiled_somewhere() {
    let code: Vec<String> = CODE
        .iter()
        .flat_map(|folder| files(&workspace().join(folder), "rs"))
        .map(|file| bare(&fs::read_to_string(file).unwrap()))
        .collect();
    let blocks: Vec<Block> = files(&workspace().join("docs"), "md")
        .iter()
        .flat_map(|page| blocks(page))
        .collect();
    assert!(blocks.len() > 10, "only {} were found", blocks.len());
    let missing: Vec<String> = blocks
        .iter()
        .filter(|block| !code.iter().any(|file| file.contains(&bare(&block.code))))
        .map(|block| format!("{}:{}\n{}", block.page, block.line, block.code))
        .collect();
    assert!(
        missing.is_empty(),
        "in none of {CODE:?}:\n{}",
        missing.join("\n")
    );
}

#[test]
fn no_block_of_rust_in_a_page_hides_a_line() {
    let pages = files(&workspace().join("docs"), "md");
    for page in pages.iter().chain([&workspace().join("README.md")]) {
        for block in blocks(page) {
            let hidden = block
                .code
                .lines()
                .find(|l| l.trim() == "#" || l.trim_start().starts_with("# "));
            assert_eq!(hidden, None, "{}:{}", block.page, block.line);
        }
    }
}

/// Returns the blocks of Rust in a page. Leaves out whole files of the reader, which stand behind a line with their
/// path: tests of the command line check those.
fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut is_file = false;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.starts_with('`') && line.ends_with("`:") {
            is_file = true;
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, line)| line);
            let code: Vec<&str> = inside.take_while(|line| line.trim() != "```").collect();
            if language.starts_with("rust") && !is_file {
                blocks.push(Block {
                    page: page.display().to_string(),
                    line: number + 1,
                    code: code.join("\n"),
                });
            }
            is_file = false;
        }
    }
    blocks
}

/// Returns all files below a folder with this ending.
pub(super) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
    found
}

/// Returns the code without its layout.
fn bare(code: &str) -> String {
    // The macro reads these folders.
    let code = code.replace("tests/crates/two_binds/migrations", "migrations");
    let code = code.replace(char::is_whitespace, "");
    code.replace(",}", "}")
        .replace(",)", ")")
        .replace(",]", "]")
}

//! A page of the documentation as a script: its commands, and the files that its reader writes.

use std::fs;

use kit::servers::workspace;

/// One step of a page.
#[derive(Debug)]
pub(crate) enum Step {
    Run(String),
    Write(String, String),
}

/// Returns the steps of a page in `docs`. Commands are in blocks of `sh`. A file is the block after the line with its
/// path and a colon.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let page = fs::read_to_string(workspace().join("docs").join(page)).unwrap();
    let mut steps = Vec::new();
    let mut file = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix('`').and_then(|l| l.strip_suffix("`:")) {
            file = Some(path.to_owned());
        } else if let Some(language) = line.strip_prefix("```") {
            let text: String = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .flat_map(|line| [line, "\n"])
                .collect();
            match (language, file.take()) {
                ("sh", None) => steps.push(Step::Run(text)),
                // This block is for the reader's own file, which the tests have for the whole workspace.
                ("toml", None) => {}
                (_, Some(file)) => steps.push(Step::Write(file, text)),
                (language, None) => panic!("a block of {language} says no file: {text}"),
            }
        }
    }
    steps
}

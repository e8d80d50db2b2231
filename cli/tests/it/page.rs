//! A page of the documentation as something to do: its commands, and the files that it has its reader write.

use std::fs;

use kit::servers::workspace;

/// One thing that a page has its reader do.
#[derive(Debug)]
pub(crate) enum Step {
    Run(String),
    Write(String, String),
}

/// The steps of a page in `docs`. Commands are in blocks of `sh`; a file is the block that follows the line with its path
/// and a colon.
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
                // For the reader's own file, which the tests have for the whole workspace.
                ("toml", None) => {}
                (_, Some(file)) => steps.push(Step::Write(file, text)),
                (language, None) => panic!("a block of {language} says no file: {text}"),
            }
        }
    }
    steps
}

//! Functions for test programs without the usual harness: the filters of `cargo test`, and numbers from the
//! environment.

use std::env;

/// Returns whether the arguments exclude the test of this name: by filters that do not match it, or by `--list`.
pub fn is_filtered_out(name: &str) -> bool {
    let mut arguments = env::args().skip(1);
    let names: Vec<String> = arguments.by_ref().filter(|a| !a.starts_with('-')).collect();
    env::args().any(|argument| argument == "--list")
        || (!names.is_empty() && !names.iter().any(|filter| name.contains(filter.as_str())))
}

/// Returns the number in a variable, if it is set.
///
/// # Panics
///
/// If the variable has no number.
pub fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

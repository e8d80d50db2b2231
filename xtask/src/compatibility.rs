//! `cargo xtask compatibility`: runs tests against servers of later releases, finds the roles of all servers, and makes the table of
//! `docs/compatibility.md` from the results.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::command::{cargo, run_and_read, run_quietly};
use crate::servers::{Server, Set, programs};
use crate::test::{on_mysql, with_many_threads, with_mysql, with_set};
use crate::workspace;

const PAGE: &str = "docs/compatibility.md";
const BEGIN: &str = "<!-- begin: `cargo xtask compatibility --write` -->\n";
const END: &str = "<!-- end -->\n";

/// Tells the tests of roles that `mariadb-a` is a node of a Galera cluster.
const GALERA: &str = "DIESEL_BINDS_TEST_GALERA";

type Environment = BTreeMap<&'static str, String>;

/// The arguments of the command.
#[derive(Args)]
pub(crate) struct Compatibility {
    /// Write the table into `docs/compatibility.md`
    #[arg(long)]
    write: bool,
    /// Only these modules of `it`, such as `facts`; the table says so
    modules: Vec<String>,
}

impl Compatibility {
    /// Fails if a test fails.
    pub(crate) fn run(&self) -> Result<()> {
        let mut rows = Vec::new();
        with_set(Set::Installed, |environment| {
            let tests = "all tests, by `cargo xtask test`";
            rows.extend(roles(&environment, tests)?);
            rows.push(pooler(Set::Installed, tests)?);
            Ok(())
        })?;
        with_set(Set::Later, |environment| {
            let tests = self.run_tests(&environment)?;
            // SQLite is of no set.
            let is_server = |row: &String| !row.starts_with("| SQLite ");
            rows.extend(roles(&environment, &tests)?.into_iter().filter(is_server));
            rows.push(pooler(Set::Later, &tests)?);
            Ok(())
        })?;
        with_set(Set::Later, |mut environment| {
            with_set(Set::Galera, |node| {
                let url = node[Server::GaleraA.variable()].clone();
                environment.insert(Server::MariadbA.variable(), url);
                environment.insert(GALERA, String::new());
                rows.extend(roles(&environment, "one unit of two writers")?);
                Ok(())
            })
        })?;
        with_mysql(|environment| {
            let printed = run_and_read(on_mysql()?.envs(&environment))?;
            let passed: u64 = printed.lines().filter_map(passed_of_program).sum();
            let tests =
                format!("`it` with MySQL in the place of MariaDB, and `mysql`: {passed} tests");
            rows.extend(roles(&environment, &tests)?);
            Ok(())
        })?;
        let head = "| server | version | role | run |\n|---|---|---|---|\n";
        let table = format!("{head}{}\n", rows.join("\n"));
        print!("{table}");
        if self.write { write(&table) } else { Ok(()) }
    }

    /// Runs the test programs or modules, and returns which of them passed.
    fn run_tests(&self, environment: &Environment) -> Result<String> {
        let mut test = cargo(&["test", "--all-features", "--no-fail-fast", "--test"]);
        let names = if self.modules.is_empty() {
            test.args(["it", "--test", "crash"]);
            "`it` and `crash`".to_owned()
        } else {
            let filters = self.modules.iter().map(|name| format!("{name}::"));
            test.args(["it", "--"]).args(filters);
            format!("`{}` in `it`", self.modules.join("`, `"))
        };
        with_many_threads(&mut test)?;
        let printed = run_and_read(test.envs(environment))?;
        let passed: u64 = printed.lines().filter_map(passed_of_program).sum();
        Ok(format!("{names}: {passed} tests"))
    }
}

/// Returns the row of PgBouncer.
fn pooler(set: Set, tests: &str) -> Result<String> {
    let program = programs::pgbouncer(set)?;
    let printed = run_quietly(Command::new(program).arg("--version"))?;
    let version = printed
        .lines()
        .next()
        .and_then(|line| line.split(' ').nth(1));
    let version = version.context("PgBouncer prints no version")?;
    Ok(format!("| PgBouncer | {version} | pooler | {tests} |"))
}

/// Returns the number in `test result: ok. 12 passed; 0 failed`.
fn passed_of_program(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("test result: ok. ")?;
    rest.split(' ').next()?.parse().ok()
}

/// Runs the tests of roles, and returns the rows that they print.
fn roles(environment: &Environment, tests: &str) -> Result<Vec<String>> {
    let arguments = [
        "test",
        "--all-features",
        "--test",
        "it",
        "--",
        "roles::",
        "--nocapture",
    ];
    let printed = run_and_read(cargo(&arguments).envs(environment))?;
    let lines = printed
        .lines()
        .filter_map(|line| line.strip_prefix("role "));
    Ok(lines.map(|row| format!("{row} | {tests} |")).collect())
}

fn write(table: &str) -> Result<()> {
    let path = workspace::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let page =
        replaced(&page, table).with_context(|| format!("{PAGE} has no place for the table"))?;
    fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))
}

/// Returns the page with another table.
fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_place_for_the_table() {
        let page = fs::read_to_string(workspace::root().join(PAGE)).unwrap();
        let changed = replaced(&page, "| a |\n").unwrap();
        assert!(changed.contains("\n| a |\n"));
        let (table, _) = page.split_once(BEGIN).unwrap().1.split_once(END).unwrap();
        assert_eq!(
            replaced(&changed, &table[1..table.len() - 1]).unwrap(),
            page
        );
    }

    #[test]
    fn passed_tests_are_counted() {
        let line = "test result: ok. 123 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        assert_eq!(passed_of_program(line), Some(123));
        assert_eq!(
            passed_of_program("test result: FAILED. 1 passed; 1 failed"),
            None
        );
    }
}

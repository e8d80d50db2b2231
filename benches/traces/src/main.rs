//! The cost of spans and events without a subscriber: this program against a build of it without any.
//!
//! `cargo xtask trace-cost` builds it twice, the second time with `tracing/max_level_off`, which removes every span and
//! event at compile time, and runs it with both. Workers of both builds do the same work in turns. They are restarted
//! again and again, so that the place of a program in memory is not taken for its cost. A comparison of the first
//! program with itself shows which differences mean nothing.

#![allow(unreachable_pub, reason = "a program exports nothing")]

#[allow(dead_code, reason = "the comparisons within one program use the rest")]
#[path = "../../units/pairs.rs"]
mod pairs;
mod work;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::pairs::{Pairs, Table};

/// The number of starts of the workers in a comparison, and the time that they work after each.
const STARTS: usize = 12;
const TIME: Duration = Duration::from_millis(2_500);

/// The work that is compared, and its repetitions in one measurement.
const WORK: [(&str, &str, u32); 4] = [
    ("SQLite: a query", "sqlite query", 100),
    ("SQLite: a unit that reads and writes", "sqlite unit", 1),
    ("PostgreSQL: a query", "postgres query", 40),
    (
        "PostgreSQL: a unit that reads and writes",
        "postgres unit",
        1,
    ),
];

/// A process that works on command, and reports the time that it took.
struct Worker {
    process: Child,
    orders: ChildStdin,
    times: BufReader<ChildStdout>,
}

impl Worker {
    fn start(program: &Path) -> Self {
        let mut process = Command::new(program)
            .arg("--work")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was just built");
        let orders = process.stdin.take().expect("it is piped");
        let times = BufReader::new(process.stdout.take().expect("it is piped"));
        Self {
            process,
            orders,
            times,
        }
    }

    fn time(&mut self, work: &str, runs: u32) -> Duration {
        writeln!(self.orders, "{work} {runs}").expect("the worker lives");
        let mut line = String::new();
        let read = self.times.read_line(&mut line);
        read.expect("the worker answers");
        Duration::from_nanos(line.trim().parse().expect("the worker did not fail"))
    }

    fn end(mut self) {
        drop(self.orders);
        let _ = self.process.wait();
    }
}

fn compare(without: &Path, with: &Path, work: &str, runs: u32) -> Pairs {
    let mut samples = Vec::new();
    for _ in 0..STARTS {
        let (mut without, mut with) = (Worker::start(without), Worker::start(with));
        for worker in [&mut without, &mut with] {
            for _ in 0..3 {
                worker.time(work, runs);
            }
        }
        let begin = Instant::now();
        while begin.elapsed() < TIME {
            samples.push(if samples.len() % 2 == 0 {
                let first = without.time(work, runs);
                (first, with.time(work, runs))
            } else {
                let second = with.time(work, runs);
                (without.time(work, runs), second)
            });
        }
        without.end();
        with.end();
    }
    Pairs::of(runs, samples)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [work] if work == "--work" => work::work(),
        [without, with] => {
            let (without, with) = (Path::new(without), Path::new(with));
            work::prepare();
            let mut table = Table::new("without", "with spans");
            for (name, work, runs) in WORK {
                table.add(name, compare(without, with, work, runs));
                let same = format!("{name}, both with spans");
                table.add(&same, compare(with, with, work, runs));
            }
            table.print();
            work::clean_up();
        }
        _ => {
            // `cargo test` also runs this program.
            println!("run it with `cargo xtask trace-cost`");
        }
    }
}

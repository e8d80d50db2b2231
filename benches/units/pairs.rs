//! Paired measurements: two ways to do the same work, in turns, and an interval for the ratio of their times.

use std::time::{Duration, Instant};

/// The duration of one comparison.
const TIME: Duration = Duration::from_secs(8);

/// The number of resamples for the interval.
const RESAMPLES: usize = 2000;

/// The times of both ways, each pair measured in direct succession.
pub struct Pairs {
    batch: u32,
    samples: Vec<(Duration, Duration)>,
}

/// Measures both in turns, `batch` runs at a time, with every second pair in reverse order.
pub async fn compare(
    batch: u32,
    mut by_hand: impl AsyncFnMut(),
    mut session: impl AsyncFnMut(),
) -> Pairs {
    // `cargo test --benches` also runs this function, only to see whether it works.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    // Warms up: some questions and preparations happen only once.
    for _ in 0..3 {
        by_hand().await;
        session().await;
    }
    let mut samples = Vec::new();
    let begin = Instant::now();
    while is_bench && begin.elapsed() < TIME {
        let pair = if samples.len() % 2 == 0 {
            let first = timed(batch, &mut by_hand).await;
            (first, timed(batch, &mut session).await)
        } else {
            let second = timed(batch, &mut session).await;
            (timed(batch, &mut by_hand).await, second)
        };
        samples.push(pair);
    }
    Pairs::of(batch, samples)
}

async fn timed(batch: u32, work: &mut impl AsyncFnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..batch {
        work().await;
    }
    begin.elapsed()
}

impl Pairs {
    /// Returns pairs that were measured elsewhere, each of `batch` runs.
    pub fn of(batch: u32, samples: Vec<(Duration, Duration)>) -> Self {
        Self { batch, samples }
    }

    /// Returns the median time of one run for each way.
    fn medians(&self) -> (Duration, Duration) {
        let of = |side: fn(&(Duration, Duration)) -> Duration| {
            let mut times: Vec<Duration> = self.samples.iter().map(side).collect();
            times.sort_unstable();
            times[times.len() / 2] / self.batch
        };
        (of(|pair| pair.0), of(|pair| pair.1))
    }

    /// Returns the median of the ratios within pairs, with a bootstrap interval of 95 %.
    fn ratio(&self) -> (f64, f64, f64) {
        let ratios: Vec<f64> = self
            .samples
            .iter()
            .map(|(by_hand, session)| session.as_secs_f64() / by_hand.as_secs_f64())
            .collect();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                median(
                    (0..ratios.len())
                        .map(|_| ratios[random.below(ratios.len())])
                        .collect(),
                )
            })
            .collect();
        medians.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| medians[(share * RESAMPLES as f64) as usize];
        (median(ratios), at(0.025), at(0.975))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// An Xorshift generator: good enough to draw from some hundred samples, and the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// The results of all comparisons.
pub struct Table {
    /// The names of the two ways.
    ways: [&'static str; 2],
    rows: Vec<(String, Pairs)>,
}

impl Table {
    /// Creates a table of two ways.
    pub fn new(first: &'static str, second: &'static str) -> Self {
        Self {
            ways: [first, second],
            rows: Vec::new(),
        }
    }

    /// Adds a comparison.
    pub fn add(&mut self, name: &str, pairs: Pairs) {
        self.rows.push((name.to_owned(), pairs));
    }

    /// Prints all of them.
    pub fn print(&self) {
        let [first, second] = self.ways;
        println!(
            "{:<50} {:>10} {:>10} {:>7}   {:<15} {:>6}",
            format!("{second} / {first}"),
            first,
            second,
            "ratio",
            "95 % interval",
            "pairs"
        );
        for (name, pairs) in &self.rows {
            if pairs.samples.is_empty() {
                println!("{name:<50} works");
                continue;
            }
            let (by_hand, session) = pairs.medians();
            let (ratio, low, high) = pairs.ratio();
            println!(
                "{name:<50} {:>7.1} µs {:>7.1} µs {ratio:>7.3}   {low:.3} – {high:.3}   {:>6}",
                by_hand.as_secs_f64() * 1e6,
                session.as_secs_f64() * 1e6,
                pairs.samples.len()
            );
        }
    }
}

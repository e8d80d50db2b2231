//! Lets one event happen after the other, and audits after each.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};

use crate::audit;
use crate::bank::MAX_SIZE;
use crate::clients::Clients;
use crate::event::{Event, What};
use crate::ledger::Counts;
use crate::servers::Servers;
use crate::service::Service;

/// The longest time until a request succeeds after the end of an event. The service tries again with each request, so
/// it is far above every limit of its pools: a service that takes longer does not come back by itself.
const RECOVERY: Duration = Duration::from_secs(30);

/// How long the load runs before and after each event.
const CALM: Duration = Duration::from_millis(1500);

/// The sums over all events of one name.
#[derive(Default)]
struct Sums {
    events: u32,
    slowest: Duration,
    counts: Counts,
}

/// Runs a day. Fails if anything was wrong.
pub(crate) async fn direct(length: Duration, seed: u64) -> ExitCode {
    println!("day: seed={seed} seconds={}", length.as_secs());
    let mut random = Rng::with_seed(seed);
    let mut servers = Servers::start().await;
    let urls = servers.urls();
    let mut service = Service::start(&urls).await;
    let mut clients = Clients::start(&service.address, random.u64(..));
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    let (start, mut number) = (Instant::now(), 0);
    'day: loop {
        for event in Event::round(&mut random) {
            if start.elapsed() > length {
                break 'day;
            }
            number += 1;
            sleep(CALM).await;
            let before = calm(&clients, &mut service, event).await;
            sums.entry("(calm)".to_owned())
                .or_default()
                .add(&before, Duration::ZERO);

            let old = servers.connections(event.bank).await;
            let began = Instant::now();
            let mut last = 0;
            match event.what {
                What::ServiceKilled => service = replace(service, &urls, &clients).await,
                What::PoolExhausted => exhaust(&clients, event).await,
                What::ReadOnly => {
                    event.happen(&mut servers, &mut random).await;
                    last = audit::last_leg(&servers, event.bank).await;
                }
                _ => event.happen(&mut servers, &mut random).await,
            }
            let ended = Instant::now();
            let recovered = recovery(&clients, event, ended).await;
            sleep(CALM).await;

            // No request runs while this is held.
            let held = timeout(Duration::from_secs(120), clients.address.write()).await;
            let Ok(held) = held else {
                clients
                    .ledger
                    .fault(format!("after {event}, a request does not end"));
                break 'day;
            };
            let found = audit::audit(&servers, &clients.ledger, audit::of_the_pool()).await;
            let mut note = String::new();
            if event.what == What::ReadOnly {
                let wrote = audit::wrote_after(&servers, event.bank, &old, last).await;
                note = format!(
                    ", {wrote} of {} old connections wrote afterwards",
                    old.len()
                );
            }
            drop(held);
            let counts = clients.ledger.take_counts();
            println!(
                "day: {number} {event}: {:.1} s, first success {:.2} s later, settled in {:.2} s, {counts}{note}; \
                 units={} committed={} uncertain={} of which committed={} torn={} lies={} connections={:?}",
                (ended - began).as_secs_f64(),
                recovered.as_secs_f64(),
                found.settled.as_secs_f64(),
                found.units,
                found.committed,
                found.uncertain,
                found.uncertain_committed,
                found.torn,
                found.lies,
                found.connections,
            );
            if let Some(expected) = event.expected()
                && !counts.kinds.keys().any(|kind| kind.contains(expected))
            {
                clients.ledger.fault(format!(
                    "no request saw {event}: `{expected}` is in no error"
                ));
            }
            sums.entry(event.to_string())
                .or_default()
                .add(&counts, recovered);
            if !service.runs() {
                clients.ledger.fault("the service has ended".to_owned());
                break 'day;
            }
        }
    }
    clients.stop().await;
    if !service.end().await {
        clients
            .ledger
            .fault("the service did not end well".to_owned());
    }
    let found = audit::audit(&servers, &clients.ledger, 0..=0).await;
    print(&sums);
    let faults = clients.ledger.faults();
    println!(
        "day: {:.0} s, events={number} units={} committed={} uncertain={} of which committed={} torn={} lies={} \
         connections={:?} faults={}",
        start.elapsed().as_secs_f64(),
        found.units,
        found.committed,
        found.uncertain,
        found.uncertain_committed,
        found.torn,
        found.lies,
        found.connections,
        faults.len()
    );
    match faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Returns the counts before an event. An error in that time is an after-effect of the event before.
async fn calm(clients: &Clients, service: &mut Service, event: Event) -> Counts {
    if !service.runs() {
        clients
            .ledger
            .fault(format!("before {event}, the service has ended"));
    }
    clients.ledger.take_counts()
}

/// Kills the service, and starts another one.
async fn replace(mut service: Service, urls: &[String], clients: &Clients) -> Service {
    service.kill().await;
    let service = Service::start(urls).await;
    // Requests to the old address have failed by now, or fail at once.
    clients.address.write().await.clone_from(&service.address);
    service
}

/// Lets a task of the service hold all connections of a pool.
async fn exhaust(clients: &Clients, event: Event) {
    let address = clients.address.read().await.clone();
    let hold = format!("{address}/hold/{}/4000", event.bank);
    let held = reqwest::Client::new().post(hold).send().await;
    let held = match held {
        Ok(response) => response.text().await.unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    // A reader of the file waits for the writers, which take it again and again.
    if event.bank != 2 && held != MAX_SIZE.to_string() {
        clients
            .ledger
            .fault(format!("not all connections could be held: {held}"));
    }
}

/// Returns how long after the end of an event a request succeeded over each of its banks.
async fn recovery(clients: &Clients, event: Event, ended: Instant) -> Duration {
    let mut slowest = Duration::ZERO;
    for bank in event.banks() {
        loop {
            if let Some(first) = clients.ledger.first_success(bank, ended) {
                slowest = slowest.max(first - ended);
                break;
            }
            if ended.elapsed() > RECOVERY {
                let key = crate::bank::KEYS[bank];
                clients.ledger.fault(format!(
                    "no success over {key} within {RECOVERY:?} after {event}"
                ));
                return RECOVERY;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
    slowest
}

impl Sums {
    fn add(&mut self, counts: &Counts, recovered: Duration) {
        self.events += 1;
        self.slowest = self.slowest.max(recovered);
        self.counts.add(counts);
    }
}

/// Prints the kinds of the errors for each event.
fn print(sums: &BTreeMap<String, Sums>) {
    for (event, sums) in sums {
        println!(
            "day: {event}: events={} slowest first success {:.2} s, {}",
            sums.events,
            sums.slowest.as_secs_f64(),
            sums.counts
        );
        for (kind, count) in &sums.counts.kinds {
            println!("day:     {count:6} {kind}");
        }
    }
}

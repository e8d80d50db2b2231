//! The clients: each sends one request after the other, and writes the answers down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Client, StatusCode};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::bank::{ACCOUNTS, BALANCE, KEYS, Leg};
use crate::ledger::{Answer, Ledger};
use crate::service::{BIND, KIND, Move, is_bank};

/// The number of clients.
const CLIENTS: u64 = 8;

/// The longest wait for an answer. The service bounds each of its steps, so none takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The clients with their shared state.
pub(crate) struct Clients {
    pub(crate) ledger: Arc<Ledger>,
    /// The address of the service. Each request holds it for reading, so that a writer waits for all requests, and
    /// holds new ones back.
    pub(crate) address: Arc<RwLock<String>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn start(address: &str, seed: u64) -> Self {
        let mut clients = Self {
            ledger: Arc::default(),
            address: Arc::new(RwLock::new(address.to_owned())),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for number in 0..CLIENTS {
            let client = One {
                http: Client::builder()
                    .timeout(PATIENCE)
                    .build()
                    .expect("a client"),
                random: Rng::with_seed(seed.wrapping_mul(31).wrapping_add(number)),
                ledger: Arc::clone(&clients.ledger),
                address: Arc::clone(&clients.address),
                stop: Arc::clone(&clients.stop),
            };
            clients.tasks.push(tokio::spawn(client.run()));
        }
        clients
    }

    pub(crate) async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            task.await.expect("a client does not panic");
        }
    }
}

struct One {
    http: Client,
    random: Rng,
    ledger: Arc<Ledger>,
    address: Arc<RwLock<String>>,
    stop: Arc<AtomicBool>,
}

impl One {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(self.random.u64(10..40))).await;
            let shared = Arc::clone(&self.address);
            let address = shared.read().await;
            match self.random.u32(..10) {
                0..2 => self.read(&address).await,
                kind => self.change(&address, kind == 2).await,
            }
        }
    }

    async fn read(&mut self, address: &str) {
        let bank = self.random.usize(..KEYS.len());
        let got = self
            .http
            .get(format!("{address}/banks/{bank}"))
            .send()
            .await;
        let Some(response) = self.answered(got).await else {
            return;
        };
        if response.status() != StatusCode::OK {
            return self.refused(response, &[bank]).await;
        }
        self.ledger.count(|counts| counts.read += 1);
        let opening = response.text().await.unwrap_or_default();
        if opening != (i64::from(ACCOUNTS) * BALANCE).to_string() {
            let key = KEYS[bank];
            self.ledger.fault(format!(
                "a reader sees a balance on {key} that is not that of the transfers: {opening}"
            ));
        }
    }

    async fn change(&mut self, address: &str, fails: bool) {
        let legs = self.legs();
        let banks: Vec<usize> = legs.iter().map(|leg| leg.bank).collect();
        let request = Move {
            unit: format!("{:032x}", self.random.u128(..)),
            legs,
            fails,
        };
        let route = ["layer", "handler", "retries"][self.random.usize(..3)];
        self.ledger.begin(&request.unit, &request.legs);
        let sent = Instant::now();
        let posted = self.http.post(format!("{address}/{route}"));
        let got = posted.json(&request).send().await;
        let Some(response) = self.answered(got).await else {
            return;
        };
        let answer = match response.status() {
            StatusCode::CREATED if !fails => Answer::Committed,
            StatusCode::GATEWAY_TIMEOUT => Answer::InDoubt,
            StatusCode::CREATED => {
                self.ledger
                    .fault("a request that fails on purpose was done".to_owned());
                Answer::NotCommitted
            }
            _ => Answer::NotCommitted,
        };
        self.ledger.answer(&request.unit, answer, sent);
        match answer {
            Answer::Committed => self.ledger.count(|counts| counts.committed += 1),
            Answer::InDoubt => {
                self.ledger.count(|counts| counts.in_doubt += 1);
                self.refused(response, &banks).await;
            }
            _ => self.refused(response, &banks).await,
        }
    }

    /// Returns the answer, if there is one.
    async fn answered(
        &mut self,
        got: Result<reqwest::Response, reqwest::Error>,
    ) -> Option<reqwest::Response> {
        let error = match got {
            Ok(response) => return Some(response),
            Err(error) => error,
        };
        if error.is_timeout() {
            self.ledger
                .fault(format!("a request got no answer within {PATIENCE:?}"));
        }
        self.ledger.count(|counts| counts.without_answer += 1);
        // The service may be gone: the pause avoids a busy loop.
        sleep(Duration::from_millis(50)).await;
        None
    }

    /// Counts an answer that is no success, and examines the error.
    async fn refused(&mut self, response: reqwest::Response, banks: &[usize]) {
        let status = response.status();
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            return self.ledger.count(|counts| counts.refused_on_purpose += 1);
        }
        let header = |name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        // The layer tells a client no more than a status.
        let (kind, bind) = match (header(KIND), header(BIND)) {
            (Some(kind), Some(bind)) => (kind, bind),
            _ => (
                format!("commit of the layer: {}", status.as_u16()),
                String::new(),
            ),
        };
        let is_of_layer = kind.starts_with("commit of the layer");
        let text = response.text().await.unwrap_or_default();
        if !is_of_layer {
            let is_named = is_bank(&bind) && banks.iter().any(|bank| KEYS[*bank] == bind);
            if !is_named {
                self.ledger
                    .fault(format!("an error names the bind `{bind}`: {text}"));
            }
            if kind.contains("UNEXPECTED") {
                self.ledger.fault(format!("an unexpected error: {text}"));
            }
        } else if !matches!(status.as_u16(), 409 | 503 | 504 | 500) {
            self.ledger.fault(format!("an unexpected status: {status}"));
        }
        self.ledger.count(|counts| {
            counts.failed += 1;
            *counts.kinds.entry(format!("{kind} [{bind}]")).or_default() += 1;
        });
        sleep(Duration::from_millis(20)).await;
    }

    /// Returns two or three legs over different banks, or two legs on one bank, whose amounts add up to zero.
    fn legs(&mut self) -> Vec<Leg> {
        let mut banks: Vec<usize> = (0..KEYS.len()).collect();
        self.random.shuffle(&mut banks);
        match self.random.u32(..4) {
            0 => banks = vec![banks[0]; 2],
            1..=2 => banks.truncate(2),
            _ => {}
        }
        // In one order, as a service locks its rows. In some requests not, so that some wait for each other over two
        // databases, which no server detects.
        if self.random.u32(..10) > 0 {
            banks.sort_unstable();
        }
        let amounts: Vec<i64> = (1..banks.len())
            .map(|_| self.random.i64(-50..=50))
            .collect();
        let last = -amounts.iter().sum::<i64>();
        let amounts = amounts.into_iter().chain([last]);
        let legs = banks.into_iter().zip(amounts).map(|(bank, amount)| Leg {
            bank,
            account: self.random.i32(1..=ACCOUNTS),
            amount,
        });
        legs.collect()
    }
}

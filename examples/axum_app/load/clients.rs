//! Senders of the load: wrk, and beside it clients that do not wait for the answer.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How many requests are sent at once by wrk, and as many threads hang up.
const THREADS: usize = 2;
const CONNECTIONS: usize = 16;

/// Long enough for the longest run; a run ends when all requests were sent.
const LIMIT: &str = "600s";

/// The counts of wrk.
pub(crate) struct Counted {
    wrk: String,
    hung_up: usize,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hung_up={}", self.wrk, self.hung_up)
    }
}

/// Sends all requests of a run, of which a tenth by clients that hang up.
pub(crate) async fn run(address: &str, requests: usize, run: usize) -> Counted {
    let hung_up = requests / 10;
    let (wrk, ()) = tokio::join!(
        wrk(address, requests - hung_up, run),
        hang_up(address, hung_up, run)
    );
    Counted { wrk, hung_up }
}

async fn wrk(address: &str, requests: usize, run: usize) -> String {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/axum_app/load/payments.lua"
    );
    let mut child = Command::new("wrk")
        .args(["--threads", &THREADS.to_string()])
        .args(["--connections", &CONNECTIONS.to_string()])
        .args(["--duration", LIMIT, "--timeout", "60s", "--script", script])
        .arg(format!("http://{address}"))
        .args(["--", &(requests / THREADS).to_string()])
        .args([&crate::ACCOUNTS.to_string(), &run.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("wrk is installed: `cargo xtask test` does that, or `apt-get install wrk`");
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut counted, mut all, mut enough) = (None, String::new(), 0);
    while let Some(line) = said.next_line().await.unwrap() {
        all = format!("{all}{line}\n");
        if line == "enough" {
            enough += 1;
            if enough == THREADS {
                interrupt(&child).await;
            }
        } else if let Some(rest) = line.strip_prefix("counted ") {
            counted = Some(rest.to_owned());
        }
    }
    assert!(child.wait().await.unwrap().success(), "{all}");
    counted.unwrap_or_else(|| panic!("{all}"))
}

/// Ends wrk as Ctrl-C does: it then prints what it counted.
async fn interrupt(wrk: &Child) {
    let pid = wrk.id().expect("it runs").to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(killed.unwrap().success());
}

/// Each sends a payment and goes away at some moment of it.
async fn hang_up(address: &str, requests: usize, run: usize) {
    let mut random = Rng::new();
    for number in 0..requests {
        let payer = random.i32(1..=crate::ACCOUNTS);
        let payee = payer % crate::ACCOUNTS + 1;
        let body = format!(
            r#"{{"reference": "gone-{run}-{number}", "payer": {payer}, "payee": {payee}, "amount": 1}}"#
        );
        let request = format!(
            "POST /payments HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(0..40))).await;
    }
}

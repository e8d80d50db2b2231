//! The events of a day, in an order of the seed.

use std::fmt;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use fastrand::Rng;
use kit::admin::Admin;
use kit::certificates::Shown;
use tokio::time::sleep;

use crate::bank::KEYS;
use crate::servers::Servers;

/// An accident or an operation that hits a server, the file or the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Restarted,
    Killed,
    ReadOnly,
    SessionsEnded,
    PoolExhausted,
    CertificateRenewed,
    CertificateForeign,
    FileLocked,
    ServiceKilled,
}

/// An event at one bank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) bank: usize,
}

impl Event {
    /// Returns all events in a random order.
    pub(crate) fn round(random: &mut Rng) -> Vec<Self> {
        let of_servers = [
            What::Restarted,
            What::Killed,
            What::ReadOnly,
            What::SessionsEnded,
            What::PoolExhausted,
            What::CertificateRenewed,
            What::CertificateForeign,
        ];
        let servers = [0, 1].into_iter();
        let mut events: Vec<Self> = servers
            .flat_map(|bank| of_servers.map(|what| Self { what, bank }))
            .collect();
        for what in [What::PoolExhausted, What::FileLocked, What::ServiceKilled] {
            events.push(Self { what, bank: 2 });
        }
        random.shuffle(&mut events);
        events
    }

    /// Returns the banks over which requests must succeed again afterwards.
    pub(crate) fn banks(self) -> Vec<usize> {
        match self.what {
            What::ServiceKilled => (0..KEYS.len()).collect(),
            _ => vec![self.bank],
        }
    }

    /// Returns a text that an error during the event must have, if it cannot be avoided that requests see one.
    pub(crate) fn expected(self) -> Option<&'static str> {
        match self.what {
            What::CertificateForeign => Some("certificate refused"),
            What::ReadOnly => Some("read-only"),
            What::PoolExhausted if self.bank != 2 => Some("pool: timed out"),
            _ => None,
        }
    }

    /// Lets the event happen, and ends it. `exhaust` has to hold all connections of the pool for a while.
    pub(crate) async fn happen(self, servers: &mut Servers, random: &mut Rng) {
        let bank = self.bank;
        let while_down = Duration::from_millis(random.u64(200..2500));
        let long = Duration::from_millis(4000);
        match self.what {
            What::Restarted => {
                servers.stop(bank).await;
                sleep(while_down).await;
                servers.run(bank).await;
            }
            What::Killed => {
                servers.kill(bank).await;
                sleep(while_down).await;
                servers.run(bank).await;
            }
            What::ReadOnly => {
                servers.read_only(bank, true).await;
                sleep(long).await;
                servers.read_only(bank, false).await;
            }
            What::SessionsEnded => {
                for _ in 0..4 {
                    servers.end_sessions(bank).await;
                    sleep(Duration::from_millis(random.u64(50..600))).await;
                }
            }
            What::CertificateRenewed => {
                let next = match random.bool() {
                    true => Shown::Renewed,
                    false => Shown::Good,
                };
                servers.show(bank, next).await;
                servers.end_sessions(bank).await;
                sleep(Duration::from_secs(1)).await;
            }
            What::CertificateForeign => {
                servers.show(bank, Shown::OtherAuthority).await;
                servers.end_sessions(bank).await;
                sleep(long).await;
                servers.show(bank, Shown::Good).await;
            }
            What::FileLocked => {
                let mut admin = servers.admin(bank).await;
                lock(&mut admin).await;
                sleep(long).await;
                // A connection that ends gives up its locks.
                drop(admin);
            }
            What::PoolExhausted | What::ServiceKilled => {
                unreachable!("the director does that to the service")
            }
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::ServiceKilled => f.write_str("ServiceKilled"),
            what => write!(f, "{what:?} {}", KEYS[self.bank]),
        }
    }
}

/// Locks the file against every reader and writer.
async fn lock(admin: &mut Admin) {
    let Admin::Sqlite(connection) = admin else {
        unreachable!("only a file is locked");
    };
    let lock = "PRAGMA busy_timeout = 20000; BEGIN EXCLUSIVE";
    let locked = connection.batch_execute(lock).await;
    locked.expect("the service gives the file up in between");
}

//! Starts the children, kills them and the servers, and brings everything to its end.

use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel_binds::Binds;
use fastrand::Rng;
use kit::admin::Admin;
use kit::database::Database;
use kit::kill::{kill, restart};
use kit::servers::Server;
use url::Url;

use crate::audit;
use crate::bank::{self, FILE, SHARED};
use crate::ledger::Ledger;
use crate::settings::{Settings, Site};

const HOSTS: usize = 2;
const WORKERS: usize = 4;

/// The numbers of units for each kill.
const UNITS_PER_COORDINATOR_KILL: u64 = 17;
const UNITS_PER_RECOVERER_KILL: u64 = 100;
const UNITS_PER_SERVER_KILL: u64 = 350;

/// The longest time of recovery after everything is back.
const SETTLING: Duration = Duration::from_secs(60);

/// Returns the servers, in the order of `bank::KEYS`.
fn servers(settings: &Settings) -> [Server; 4] {
    let [third, fourth] = match (settings.mysql, settings.galera) {
        (true, _) => [Server::MysqlA, Server::MysqlB],
        (_, true) => [Server::GaleraA, Server::MariadbB],
        (false, false) => [Server::MariadbA, Server::MariadbB],
    };
    [Server::PostgresA, Server::PostgresB, third, fourth]
}

/// Runs a soak. Fails if anything was lost.
pub(crate) async fn direct(settings: Settings) -> ExitCode {
    println!("soak: seed={} units={}", settings.seed, settings.units);
    let mut random = Rng::with_seed(settings.seed);
    let databases = Databases::open(&settings).await;
    let sites = databases.sites(&settings);
    let ledger = Ledger::default();
    let mut workers = Crew::start("worker", WORKERS, &sites, &mut random, &ledger);
    let mut recoverers = Crew::start("recoverer", HOSTS, &sites, &mut random, &ledger);
    let crashes = Crashes::start(&settings, random.fork(), ledger.clone());

    let start = Instant::now();
    let over =
        |begun| begun >= settings.units || settings.time.is_some_and(|t| start.elapsed() >= t);
    loop {
        tokio::time::sleep(Duration::from_millis(random.u64(1..30))).await;
        let begun = ledger.begun();
        if over(begun) {
            break;
        }
        if begun / UNITS_PER_COORDINATOR_KILL > workers.kills {
            workers.kill_one(&mut random, &ledger);
        }
        if begun / UNITS_PER_RECOVERER_KILL > recoverers.kills {
            recoverers.kill_one(&mut random, &ledger);
        }
    }
    let server_kills = crashes.end().await;
    let (coordinator_kills, recoverer_kills) = (workers.end().await, recoverers.end().await);
    println!(
        "soak: {:.0} s, recoverer_kills={recoverer_kills}, now recovering",
        start.elapsed().as_secs_f64()
    );

    let hosts: Vec<Binds> = sites
        .iter()
        .map(|site| bank::binds(&site.namespace, &site.urls))
        .collect();
    let in_doubt_left = settle(&hosts).await;
    if settings.galera {
        catch_up(Server::GaleraA).await;
    }
    let found = audit::audit(&databases.urls(), &hosts, &ledger.answers()).await;
    println!(
        "soak: units={} committed={} coordinator_kills={coordinator_kills} server_kills={server_kills} torn={} lies={} \
         in_doubt_left={in_doubt_left} sum_ok={}",
        found.units, found.committed, found.torn, found.lies, found.sum_ok
    );
    if found.torn == 0 && found.lies == 0 && in_doubt_left == 0 && found.sum_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Waits until a node has applied what any node of its cluster has committed.
async fn catch_up(node: Server) {
    let mut admin = Admin::connect(node.url().as_str()).await;
    let read = "SET SESSION wsrep_sync_wait = 15; SELECT COUNT(*) FROM mysql.global_priv";
    admin.run(read).await.expect("the node is in its cluster");
}

/// Recovers on all hosts until nothing is left. Returns the number of branches in doubt and unreachable databases.
async fn settle(hosts: &[Binds]) -> usize {
    let start = Instant::now();
    loop {
        let mut left = 0;
        for host in hosts {
            let pass = host.recovery().run_older_than(Duration::ZERO).await;
            left += pass.in_doubt.len() + pass.unreachable.len();
            if left > 0 && start.elapsed() > SETTLING {
                println!("{pass}");
            }
        }
        if left == 0 || start.elapsed() > SETTLING {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The databases of the servers, and a file for each host.
struct Databases {
    shared: Vec<Database>,
    files: Vec<Database>,
}

impl Databases {
    async fn open(settings: &Settings) -> Self {
        let mut shared = Vec::new();
        for server in servers(settings) {
            shared.push(Database::on(server).await);
        }
        let files = (0..HOSTS).map(|_| Database::sqlite()).collect();
        let databases = Self { shared, files };
        for url in databases.urls() {
            bank::open(&url).await;
        }
        if settings.galera {
            catch_up(Server::GaleraB).await;
        }
        for urls in databases.of_hosts(settings) {
            let binds = bank::binds("opening", &urls);
            binds
                .install()
                .await
                .expect("the tables of the protocol can be made");
        }
        databases
    }

    fn urls(&self) -> Vec<String> {
        let all = self.shared.iter().chain(&self.files);
        all.map(|database| database.url().to_owned()).collect()
    }

    /// Returns a site for each host.
    fn sites(&self, settings: &Settings) -> Vec<Site> {
        // The servers list the branches of all runs, and earlier runs may have left some.
        let namespace = format!("soak-{}", fastrand::u32(..));
        self.of_hosts(settings)
            .map(|urls| Site {
                namespace: namespace.clone(),
                urls,
                seed: settings.seed,
                hosts_only: settings.hosts_only,
                galera: settings.galera,
            })
            .collect()
    }

    /// Returns the URLs of each host: the servers, and a file of its own.
    fn of_hosts(&self, settings: &Settings) -> impl Iterator<Item = Vec<String>> {
        self.files.iter().enumerate().map(|(host, file)| {
            let mut urls = self.urls();
            urls.truncate(FILE);
            if settings.galera && host == 1 {
                let mut url = Url::parse(&urls[SHARED]).expect("the URL of a database is one");
                let port = Server::GaleraB.configured_url().port();
                url.set_port(port).expect("the URL has a host");
                urls[SHARED] = url.into();
            }
            urls.push(file.url().to_owned());
            urls
        })
    }
}

/// Children of one role.
struct Crew {
    role: &'static str,
    sites: Vec<Site>,
    members: Vec<Child>,
    kills: u64,
}

impl Crew {
    fn start(
        role: &'static str,
        size: usize,
        sites: &[Site],
        random: &mut Rng,
        ledger: &Ledger,
    ) -> Self {
        let mut crew = Self {
            role,
            sites: sites.to_vec(),
            members: Vec::new(),
            kills: 0,
        };
        crew.members = (0..size)
            .map(|index| crew.child(index, random, ledger))
            .collect();
        crew
    }

    fn child(&self, index: usize, random: &mut Rng, ledger: &Ledger) -> Child {
        let site = Site {
            seed: random.u64(..),
            ..self.sites[index % self.sites.len()].clone()
        };
        let mut child = site
            .child(self.role)
            .spawn()
            .expect("this program can be started again");
        ledger.listen(child.stdout.take().expect("its output is piped"));
        child
    }

    fn kill_one(&mut self, random: &mut Rng, ledger: &Ledger) {
        let index = random.usize(..self.members.len());
        let member = &mut self.members[index];
        member.kill().expect("a child can be killed");
        member.wait().expect("a killed child is gone");
        self.members[index] = self.child(index, random, ledger);
        self.kills += 1;
    }

    /// Waits for the end of all children, and returns the number of those that were killed before.
    async fn end(mut self) -> u64 {
        for member in &mut self.members {
            drop(member.stdin.take());
        }
        for mut member in self.members {
            let waited = tokio::task::spawn_blocking(move || member.wait());
            let status = waited.await.expect("waiting does not panic");
            let status = status.expect("a child can be waited for");
            assert!(status.success(), "a {} ended with {status}", self.role);
        }
        self.kills
    }
}

/// A task that kills one server after the other.
struct Crashes {
    stop: Arc<AtomicBool>,
    kills: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Crashes {
    fn start(settings: &Settings, mut random: Rng, ledger: Ledger) -> Self {
        let (stop, kills) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, killed) = (Arc::clone(&stop), Arc::clone(&kills));
        let servers = servers(settings);
        let servers = match (settings.hosts_only, settings.galera) {
            (_, true) => vec![Server::GaleraA, Server::GaleraB],
            (true, _) => vec![servers[0], servers[SHARED]],
            (false, false) => servers.to_vec(),
        };
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if ledger.begun() / UNITS_PER_SERVER_KILL > killed.load(Ordering::Relaxed) {
                    let server = servers[random.usize(..servers.len())];
                    kill(server).await;
                    tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
                    restart(server).await;
                    killed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, kills, task }
    }

    /// Stops the kills, and returns their number. All servers are up afterwards.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the servers come back");
        self.kills.load(Ordering::Relaxed)
    }
}

//! A Galera cluster of two nodes of MariaDB.
//!
//! A node that joins gets the transactions that it lacks from the other one. It never gets a copy of all data, which needs
//! further programs and privileges: at first both nodes are made of one copy, and the other node keeps the transactions of
//! a whole run of tests.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;

use crate::command::run_quietly;
use crate::servers::engine::{Engine, Instance, option};
use crate::servers::home::Home;
use crate::servers::mysql::Mysql;
use crate::servers::{Data, port, programs};

/// The distances from the port of clients to those for the other node, which are below the ports of all servers.
const GROUP_DISTANCE: u16 = 10_000;
const TRANSFER_DISTANCE: u16 = 15_000;

/// The program that ends a transfer between nodes, `wsrep_sst_<method>` on the `PATH` of the server. The one that joins
/// names a file, in which the other one writes the position that the data have.
const TRANSFER: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        --role) role=$2 ;;
        --address) address=$2 ;;
        --datadir) folder=$2 ;;
        --gtid) position=$2 ;;
        --bypass) lacks_transactions_only=1 ;;
    esac
    shift
done
if [ "$role" = donor ]; then
    cat > /dev/null
    [ -n "$lacks_transactions_only" ] || exit 1
    echo "$position" > "$address.partial" && mv "$address.partial" "$address"
    echo "done $position"
else
    file=${folder%/}/joined_at
    rm -f "$file"
    echo "ready $file"
    until [ -e "$file" ]; do sleep 0.05; done
    cat "$file"
fi
"#;

/// A node of a Galera cluster.
pub(crate) struct Node {
    mariadb: Mysql,
    library: PathBuf,
    /// The port for clients of the other node, once it has one.
    peer: Option<u16>,
}

impl Node {
    pub(crate) fn new(programs: programs::Mysql, library: PathBuf) -> Self {
        Self {
            mariadb: Mysql::new(programs),
            library,
            peer: None,
        }
    }

    /// Returns the port of the other node for nodes, if that node runs.
    fn running_peer(&self) -> Option<u16> {
        let group = self.peer? - GROUP_DISTANCE;
        (!port::is_free(group)).then_some(group)
    }

    /// Returns the position of the data of a node that was killed, which only the storage engine knows.
    fn recovered_position(&self, home: &Home) -> Result<Option<String>> {
        let saved = fs::read_to_string(state(home));
        let was_killed = match saved {
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            saved => saved
                .context("cannot read the state of the node")?
                .lines()
                .any(|line| line.starts_with("seqno:") && line.ends_with("-1")),
        };
        if !was_killed {
            return Ok(None);
        }
        let log = home.directory().join("recover.log");
        let mut recover = self.mariadb.serve(home, 0);
        recover
            .arg("--wsrep-recover")
            .arg(option("--wsrep-provider", &self.library))
            .args([
                "--wsrep-on=ON",
                "--wsrep-cluster-address=gcomm://",
                "--binlog-format=ROW",
                "--init-file=",
                "--skip-networking",
            ])
            .arg(option("--log-error", &log));
        run_quietly(&mut recover)?;
        let log = fs::read_to_string(&log).context("cannot read the recovered position")?;
        let mut lines = log.lines().rev();
        let position = lines.find_map(|line| line.split_once("Recovered position:"));
        let (_, position) = position.context("the node has no position")?;
        Ok(Some(position.trim().to_owned()))
    }
}

/// Returns the file with the position of a node.
fn state(home: &Home) -> PathBuf {
    home.data().join("grastate.dat")
}

/// Returns the file with the argument for the position of a node that was killed.
fn position(home: &Home) -> PathBuf {
    home.directory().join("position")
}

/// Returns the folder of [`TRANSFER`].
fn programs_folder(home: &Home) -> PathBuf {
    home.directory().join("bin")
}

impl Engine for Node {
    fn account(&self) -> &'static str {
        self.mariadb.account()
    }

    fn initialise(&self, home: &Home, data: &Path) -> Command {
        self.mariadb.initialise(home, data)
    }

    fn follow(&mut self, upstream: u16) {
        self.peer = Some(upstream);
    }

    fn prepare(&self, home: &Home, _: u16) -> Result<()> {
        // The accounts are the same on both nodes, and are not replicated.
        self.mariadb
            .write_accounts(home, "SET SESSION wsrep_on = OFF;\n")?;
        let folder = programs_folder(home);
        let program = folder.join("wsrep_sst_transactions");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&program, TRANSFER))
            .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", program.display()))?;
        let recovered = self.recovered_position(home)?;
        fs::write(position(home), recovered.unwrap_or_default())
            .context("cannot write the position of the node")
    }

    fn serve(&self, home: &Home, port: u16) -> Command {
        let mut command = self.mariadb.serve(home, port);
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [programs_folder(home)]
            .into_iter()
            .chain(env::split_paths(&path));
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
        let group = port - GROUP_DISTANCE;
        let options = [
            format!("gmcast.listen_addr=tcp://127.0.0.1:{group}"),
            format!("ist.recv_addr=127.0.0.1:{}", port - TRANSFER_DISTANCE),
            "gcache.size=128M".to_owned(),
            "pc.recovery=true".to_owned(),
        ];
        command
            .arg(option("--wsrep-provider", &self.library))
            .arg(format!("--wsrep-provider-options={}", options.join(";")))
            .arg(format!("--wsrep-node-address=127.0.0.1:{group}"))
            .args([
                "--wsrep-on=ON",
                // With this plugin, no option of the provider could change.
                "--plugin-wsrep-provider=OFF",
                "--wsrep-sst-method=transactions",
                "--binlog-format=ROW",
            ]);
        match self.running_peer() {
            Some(peer) => command.arg(format!("--wsrep-cluster-address=gcomm://127.0.0.1:{peer}")),
            None => command.args(["--wsrep-new-cluster", "--wsrep-cluster-address=gcomm://"]),
        };
        let position = fs::read_to_string(position(home)).unwrap_or_default();
        if !position.is_empty() {
            command.arg(format!("--wsrep-start-position={position}"));
        }
        command
    }

    /// Returns a query of a table, which a node outside of its cluster refuses.
    fn ping(&self, home: &Home, port: u16) -> Command {
        let mut command = home.command(&self.mariadb.programs().client);
        command
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "--host=127.0.0.1",
                "--user=root",
                "--connect-timeout=5",
                "--execute=SELECT COUNT(*) FROM mysql.global_priv",
            ])
            .arg(format!("--port={port}"));
        command
    }

    fn stop_signal(&self) -> Signal {
        self.mariadb.stop_signal()
    }

    fn url(&self, port: u16) -> String {
        self.mariadb.url(port)
    }
}

/// Starts the nodes that do not run. If none runs, they are a new cluster without data.
pub(crate) fn start(nodes: &mut [Instance]) -> Vec<Result<()>> {
    let started = match nodes {
        [first, second] => start_new(first, second),
        [one] => one.start(Data::Kept),
        _ => Ok(()),
    };
    let message = started.err().map(|error| format!("{error:#}"));
    let results = nodes.iter().map(|_| match &message {
        None => Ok(()),
        Some(message) => Err(anyhow!("{message}")),
    });
    results.collect()
}

/// Makes both nodes of one copy of the data, which has a position in the transactions of the cluster.
fn start_new(first: &mut Instance, second: &mut Instance) -> Result<()> {
    first.start(Data::Fresh)?;
    first.stop()?;
    second.copy(first)?;
    first.start(Data::Kept)?;
    second.start(Data::Kept)
}

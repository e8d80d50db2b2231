//! The file `target/servers/servers.toml`: the servers, their addresses, and the program that restarts them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::servers::engine::Instance;
use crate::servers::{Server, Set};
use crate::workspace;

/// The state of all servers, locked against other processes while this value lives.
pub(crate) struct ServersState {
    contents: Contents,
    _lock: File,
}

#[derive(Default, Serialize, Deserialize)]
struct Contents {
    /// The path of this program: tests run `<xtask> servers kill NAME` and `<xtask> servers restart NAME`.
    xtask: PathBuf,
    servers: BTreeMap<Server, Record>,
    /// The servers of [`Set::Later`], which have the same names.
    #[serde(default)]
    later: BTreeMap<Server, Record>,
}

impl Contents {
    fn of(&self, set: Set) -> &BTreeMap<Server, Record> {
        match set {
            Set::Later => &self.later,
            Set::Installed | Set::Mysql | Set::Galera => &self.servers,
        }
    }

    fn of_mut(&mut self, set: Set) -> &mut BTreeMap<Server, Record> {
        match set {
            Set::Later => &mut self.later,
            Set::Installed | Set::Mysql | Set::Galera => &mut self.servers,
        }
    }
}

/// The entry of one server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The URL for the administrator.
    pub(crate) url: String,
    pub(crate) port: u16,
    /// The process, absent while the server is stopped.
    pub(crate) pid: Option<u32>,
    /// The folder with the data and the socket.
    pub(crate) directory: PathBuf,
    pub(crate) log: PathBuf,
}

impl Record {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self {
            url: instance.url(),
            port: instance.port(),
            pid: instance.pid(),
            directory: instance.home().directory().to_owned(),
            log: instance.home().log(),
        }
    }
}

impl ServersState {
    /// Reads the state, after waiting for other processes that have locked it.
    pub(crate) fn lock() -> Result<Self> {
        let directory = workspace::servers();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        flock(&lock, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;

        let path = Self::path();
        let contents = match fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Contents::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Ok(Self {
            contents,
            _lock: lock,
        })
    }

    pub(crate) fn record(&self, set: Set, server: Server) -> Option<&Record> {
        self.contents.of(set).get(&server)
    }

    pub(crate) fn insert(&mut self, set: Set, server: Server, record: Record) {
        self.contents.of_mut(set).insert(server, record);
    }

    pub(crate) fn stopped(&mut self, set: Set, server: Server) {
        if let Some(record) = self.contents.of_mut(set).get_mut(&server) {
            record.pid = None;
        }
    }

    /// Returns the ports that servers of this workspace use, or used before they stopped.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let records = self.contents.servers.values();
        records
            .chain(self.contents.later.values())
            .map(|record| record.port)
            .collect()
    }

    /// Returns the port of each server of the set.
    pub(crate) fn port_of_each(&self, set: Set) -> BTreeMap<Server, u16> {
        let servers = self.contents.of(set).iter();
        servers
            .map(|(server, record)| (*server, record.port))
            .collect()
    }

    /// Writes the state. The file is renamed into place, because tests read it without the lock.
    pub(crate) fn save(&mut self) -> Result<()> {
        // A test run may have rebuilt this program, and then the path of the running one does not exist any more.
        if let Some(xtask) = std::env::current_exe().ok().filter(|path| path.exists()) {
            self.contents.xtask = xtask;
        }
        let path = Self::path();
        let partial = path.with_extension("toml.partial");
        let text = toml::to_string(&self.contents)?;
        fs::write(
            &partial,
            format!("# Written by `cargo xtask servers`.\n{text}"),
        )
        .and_then(|()| fs::rename(&partial, &path))
        .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Deletes the state of all servers.
    pub(crate) fn delete(self) -> Result<()> {
        let directory = workspace::servers();
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot delete {}", directory.display()))
    }

    fn path() -> PathBuf {
        workspace::servers().join("servers.toml")
    }
}

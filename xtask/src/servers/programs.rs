//! Finds the servers' programs on the `PATH`, in the folders of distributions outside of it, and in unpacked packages.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::run_quietly;
use crate::servers::Set;
use crate::servers::package::{MARIADB, MYSQL, PGBOUNCER, POSTGRES};

/// The programs of a PostgreSQL server.
pub(crate) struct Postgres {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    pub(crate) pg_isready: PathBuf,
}

impl Postgres {
    pub(crate) fn of(set: Set) -> Result<Self> {
        if set == Set::Installed {
            return Self::find();
        }
        Ok(Self {
            initdb: POSTGRES.program("initdb")?,
            postgres: POSTGRES.program("postgres")?,
            pg_isready: POSTGRES.program("pg_isready")?,
        })
    }

    /// Looks in the folder of `pg_config`, then in Debian's folders (newest version first), then on the `PATH`.
    pub(crate) fn find() -> Result<Self> {
        let said = run_quietly(Command::new("pg_config").arg("--bindir"))
            .ok()
            .map(|line| PathBuf::from(line.trim()));
        let folders = said
            .into_iter()
            .chain(versions(Path::new("/usr/lib/postgresql")))
            .chain(search_path());
        let folders = search_list(folders)?;
        Ok(Self {
            initdb: find(&["initdb"], &folders)?,
            postgres: find(&["postgres"], &folders)?,
            pg_isready: find(&["pg_isready"], &folders)?,
        })
    }
}

/// The programs of a server of MariaDB or MySQL.
pub(crate) struct Mysql {
    pub(crate) server: PathBuf,
    pub(crate) admin: PathBuf,
    pub(crate) client: PathBuf,
    /// The program that fills a data directory. The server of MySQL does so itself.
    pub(crate) install_db: Option<PathBuf>,
    /// The folder of `bin` and `share`, if it is not that of the machine.
    pub(crate) base: Option<PathBuf>,
}

impl Mysql {
    pub(crate) fn of_mariadb(set: Set) -> Result<Self> {
        let installed = Self::find_mariadb()?;
        if set == Set::Installed {
            return Ok(installed);
        }
        Ok(Self {
            server: MARIADB.program("mariadbd")?,
            admin: installed.admin,
            client: installed.client,
            install_db: Some(MARIADB.program("mariadb-install-db")?),
            base: Some(MARIADB.root()?.join("usr")),
        })
    }

    /// Looks on the `PATH`, then in the folders for servers, which are on root's `PATH` only.
    pub(crate) fn find_mariadb() -> Result<Self> {
        let hidden = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"].map(PathBuf::from);
        let folders = search_list(search_path().into_iter().chain(hidden))?;
        Ok(Self {
            server: find(&["mariadbd"], &folders)?,
            admin: find(&["mariadb-admin", "mysqladmin"], &folders)?,
            client: find(&["mariadb", "mysql"], &folders)?,
            install_db: Some(find(&["mariadb-install-db", "mysql_install_db"], &folders)?),
            base: None,
        })
    }

    pub(crate) fn of_mysql() -> Result<Self> {
        Ok(Self {
            server: MYSQL.program("mysqld")?,
            admin: MYSQL.program("mysqladmin")?,
            client: MYSQL.program("mysql")?,
            install_db: None,
            base: Some(MYSQL.root()?.join("usr")),
        })
    }
}

/// Returns the library of Galera.
pub(crate) fn galera() -> Result<PathBuf> {
    Ok(MARIADB.root()?.join("usr/lib/galera/libgalera_smm.so"))
}

/// Finds PgBouncer, which is on root's `PATH` only.
pub(crate) fn pgbouncer(set: Set) -> Result<PathBuf> {
    if set != Set::Installed {
        return PGBOUNCER.program("pgbouncer");
    }
    let hidden = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let folders = search_list(search_path().into_iter().chain(hidden))?;
    find(&["pgbouncer"], &folders)
}

/// Returns `bin` of each version in a folder such as `/usr/lib/postgresql`, the newest first.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

fn search_list(folders: impl IntoIterator<Item = PathBuf>) -> Result<OsString> {
    Ok(env::join_paths(folders)?)
}

fn find(names: &[&str], folders: &OsString) -> Result<PathBuf> {
    names
        .iter()
        .find_map(|name| which::which_in_global(name, Some(folders)).ok()?.next())
        .with_context(|| {
            format!(
                "cannot find `{}`: `cargo xtask test` installs it on Debian",
                names[0]
            )
        })
}

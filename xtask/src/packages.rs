//! The programs that the tests need, and their installation from Debian's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{run, succeeds};
use crate::servers::{Set, programs};

/// A program, and the Debian package that holds it.
struct Requirement {
    name: &'static str,
    package: &'static str,
    is_installed: fn() -> bool,
}

const REQUIREMENTS: [Requirement; 9] = [
    Requirement {
        name: "PostgreSQL server (initdb, postgres, pg_isready)",
        package: "postgresql",
        is_installed: || programs::Postgres::find().is_ok(),
    },
    Requirement {
        name: "MariaDB server (mariadbd, mariadb-install-db, mariadb-admin)",
        package: "mariadb-server",
        is_installed: || programs::Mysql::find_mariadb().is_ok(),
    },
    Requirement {
        name: "PgBouncer",
        package: "pgbouncer",
        is_installed: || programs::pgbouncer(Set::Installed).is_ok(),
    },
    Requirement {
        name: "wrk (loads the example service)",
        package: "wrk",
        is_installed: || which::which("wrk").is_ok(),
    },
    Requirement {
        name: "openssl (makes a key of the tests)",
        package: "openssl",
        is_installed: || which::which("openssl").is_ok(),
    },
    Requirement {
        name: "C compiler (SQLite is compiled in)",
        package: "gcc",
        is_installed: || which::which("cc").is_ok(),
    },
    Requirement {
        name: "pkg-config (finds the next two)",
        package: "pkg-config",
        is_installed: || which::which("pkg-config").is_ok(),
    },
    Requirement {
        name: "libpq with its headers (the Diesel CLI is built with it)",
        package: "libpq-dev",
        is_installed: || has_library(&["libpq"]),
    },
    Requirement {
        name: "libmariadb with its headers (the Diesel CLI is built with it)",
        package: "libmariadb-dev",
        is_installed: || has_library(&["libmariadb", "mysqlclient"]),
    },
];

/// Returns whether one of these libraries can be linked.
fn has_library(names: &[&str]) -> bool {
    let found = |name: &&str| succeeds(Command::new("pkg-config").args(["--exists", name]));
    names.iter().any(found)
}

/// Installs missing programs if possible: as root, on a system with `apt-get`.
///
/// # Errors
///
/// On other systems, the error lists the programs to install.
pub(crate) fn install_missing() -> Result<()> {
    let missing: Vec<_> = REQUIREMENTS
        .iter()
        .filter(|requirement| !(requirement.is_installed)())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing
        .iter()
        .map(|requirement| requirement.package)
        .collect();
    if !rustix::process::geteuid().is_root() || which::which("apt-get").is_err() {
        let names: Vec<_> = missing
            .iter()
            .map(|requirement| format!("  - {}", requirement.name))
            .collect();
        bail!(
            "the tests need programs that are not installed:\n{}\n\
             on Debian and Ubuntu: sudo apt-get install {}",
            names.join("\n"),
            packages.join(" "),
        );
    }
    apt_install(&packages)?;
    match missing
        .iter()
        .find(|requirement| !(requirement.is_installed)())
    {
        Some(requirement) => {
            bail!(
                "package `{}` is installed, but not found: {}",
                requirement.package,
                requirement.name
            )
        }
        None => Ok(()),
    }
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let _no_services = ServicesHeldBack::new()?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))
}

/// A guard that keeps packages from starting the services that they install: the tests have servers of their own.
struct ServicesHeldBack {
    created: bool,
}

impl ServicesHeldBack {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn new() -> Result<Self> {
        if Path::new(Self::POLICY).exists() {
            return Ok(Self { created: false });
        }
        let guard = Self { created: true };
        fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", Self::POLICY))?;
        Ok(guard)
    }
}

impl Drop for ServicesHeldBack {
    fn drop(&mut self) {
        if self.created
            && let Err(error) = fs::remove_file(Self::POLICY)
        {
            eprintln!("cannot remove {}: {error}", Self::POLICY);
        }
    }
}

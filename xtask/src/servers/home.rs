//! The folders of a server, and the account that owns them.
//!
//! PostgreSQL and MariaDB do not run as root. If this program does, each server runs as the account that its package
//! created, and needs a folder that this account can reach.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{run_quietly, succeeds};
use crate::workspace;

/// The maximum length of the path of a Unix socket, without the name of the socket file.
const LONGEST_SOCKET_FOLDER: usize = 80;

/// The folder of one server: `data/`, `socket/`, `temporary/`, `server.log`, `pid`.
pub(crate) struct Home {
    directory: PathBuf,
    account: Option<Account>,
}

/// An account that a server runs as in place of root.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Home {
    /// Returns the home at `directory`, or the first place for a new one that the account can enter, and whose path is not
    /// too long for a Unix socket: [`workspace::scratch`], `target/servers/` of the workspace, the temporary folder.
    pub(crate) fn find(name: &str, account: &str, directory: Option<&Path>) -> Result<Self> {
        let account = Account::beside_root(account)?;
        if let Some(directory) = directory {
            return Ok(Self {
                directory: directory.to_owned(),
                account,
            });
        }
        for parent in [
            temporary(workspace::scratch()),
            workspace::servers(),
            temporary(std::env::temp_dir()),
            temporary(PathBuf::from("/var/tmp")),
        ] {
            let home = Self {
                directory: parent.join(name),
                account,
            };
            create_shared(&parent)?;
            if home.socket_folder().as_os_str().len() <= LONGEST_SOCKET_FOLDER
                && can_enter(account, &parent)
            {
                return Ok(home);
            }
            // Only succeeds for an empty folder, which this call may have created.
            let _ = fs::remove_dir(&parent);
        }
        bail!(
            "found no folder for {name} that its account can enter and that is short enough for a socket"
        )
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn temporary_folder(&self) -> PathBuf {
        self.directory.join("temporary")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    /// Creates the folders, owned by the account. Those for sockets and temporary files are empty.
    pub(crate) fn create(&self) -> Result<()> {
        // A killed PostgreSQL leaves a lock beside its socket. A new one takes that for a held lock until the dead
        // process is reaped.
        delete(&self.socket_folder())?;
        delete(&self.temporary_folder())?;
        for directory in [
            self.directory(),
            &self.socket_folder(),
            &self.temporary_folder(),
        ] {
            create_shared(directory)?;
            if let Some(Account { user, group }) = self.account {
                chown(directory, Some(user), Some(group)).with_context(|| {
                    format!("cannot change the owner of {}", directory.display())
                })?;
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&self) -> Result<()> {
        delete(&self.directory)
    }

    /// Returns a command that runs as the account, in this home.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Not the temporary folder of the machine: each MariaDB that starts deletes the temporary tables of all others
        // there.
        command
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("TMPDIR", self.temporary_folder());
        run_as(self.account, &mut command);
        command
    }
}

/// Returns the folder of the programs of later releases: `target/servers-packages/` of the workspace if the account can
/// enter it, otherwise one for temporary files on the disk.
pub(crate) fn packages(account: &str) -> Result<PathBuf> {
    let account = Account::beside_root(account)?;
    for folder in [
        workspace::packages(),
        temporary(PathBuf::from("/var/tmp")).join("packages"),
    ] {
        create_shared(&folder)?;
        if can_enter(account, &folder) {
            return Ok(folder);
        }
        // Only succeeds for an empty folder, which this call may have created.
        let _ = fs::remove_dir(&folder);
    }
    bail!("found no folder for the programs of servers that their accounts can enter")
}

fn can_enter(account: Option<Account>, directory: &Path) -> bool {
    // Tested by a process of the account, because permission bits are not sufficient (access control lists, mount
    // options).
    let mut test = Command::new("test");
    test.arg("-x").arg(directory).current_dir("/");
    run_as(account, &mut test);
    succeeds(&mut test)
}

fn run_as(account: Option<Account>, command: &mut Command) {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
}

impl Account {
    /// Returns the account for servers, if this program runs as root.
    fn beside_root(name: &str) -> Result<Option<Self>> {
        let is_root = rustix::process::geteuid().is_root();
        is_root.then(|| Self::find(name)).transpose()
    }

    fn find(name: &str) -> Result<Self> {
        let id = |option| -> Result<u32> {
            let output =
                run_quietly(Command::new("id").arg(option).arg(name)).with_context(|| {
                    format!("running as root needs the account `{name}` for the server")
                })?;
            Ok(output.trim().parse()?)
        };
        Ok(Self {
            user: id("-u")?,
            group: id("-g")?,
        })
    }
}

/// Returns the folder of this workspace in a temporary folder.
fn temporary(parent: PathBuf) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    workspace::root().hash(&mut hasher);
    parent.join(format!("diesel-binds-servers-{:016x}", hasher.finish()))
}

/// Creates a folder that everyone can enter, whatever the umask is.
fn create_shared(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let metadata = fs::symlink_metadata(directory)?;
    if metadata.is_symlink() {
        bail!("{} is a symbolic link", directory.display());
    }
    let own = rustix::process::geteuid();
    if !own.is_root() && metadata.uid() != own.as_raw() {
        bail!("{} belongs to another user", directory.display());
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change the permissions of {}", directory.display()))
}

/// Deletes a folder that may be missing.
fn delete(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", directory.display()))
        }
        _ => Ok(()),
    }
}

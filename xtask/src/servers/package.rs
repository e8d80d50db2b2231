//! Programs of servers of later releases of Debian, in folders of their own: nothing is installed on the machine.
//!
//! `apt-get` downloads a package with all that it depends on, down to the C library, and checks the signatures. Each
//! unpacked program is replaced by a script that runs it with the loader and the libraries of its folder. Such a script
//! can be used like the program: the programs of PostgreSQL and MariaDB run each other by their paths.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::run_quietly;
use crate::servers::home;

/// The key that signs the releases of Debian, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The first bytes of a compiled program.
const ELF: &[u8; 4] = b"\x7fELF";

/// PostgreSQL 18.
pub(crate) const POSTGRES: Package = Package {
    name: "postgres",
    suite: "sid",
    packages: &["postgresql-18"],
    folders: &["usr/lib/postgresql/18/bin"],
    account: "postgres",
};

/// MariaDB 11.8, and Galera.
pub(crate) const MARIADB: Package = Package {
    name: "mariadb",
    suite: "trixie",
    packages: &["mariadb-server-core", "mariadb-client-core", "galera-4"],
    folders: &["usr/bin", "usr/sbin"],
    account: "mysql",
};

/// MySQL 9.7.
pub(crate) const MYSQL: Package = Package {
    name: "mysql",
    suite: "sid",
    packages: &["mysql-server-core", "mysql-client-core"],
    folders: &["usr/bin", "usr/sbin"],
    account: "mysql",
};

/// PgBouncer 1.26.
pub(crate) const PGBOUNCER: Package = Package {
    name: "pgbouncer",
    suite: "sid",
    packages: &["pgbouncer"],
    folders: &["usr/sbin"],
    account: "postgres",
};

/// Packages of one release of Debian, unpacked together.
pub(crate) struct Package {
    name: &'static str,
    /// The release of Debian.
    suite: &'static str,
    packages: &'static [&'static str],
    /// The folders of the programs, the one that is searched first in front.
    folders: &'static [&'static str],
    /// The account that runs the programs.
    account: &'static str,
}

impl Package {
    /// Returns the folder of the unpacked files, which exists after [`fetch`](Self::fetch).
    pub(crate) fn root(&self) -> Result<PathBuf> {
        Ok(home::packages(self.account)?.join(self.name))
    }

    /// Returns the path of a program of this package.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let root = self.root()?;
        let in_folder = |folder: &&str| root.join(folder).join(name);
        let found = self
            .folders
            .iter()
            .map(in_folder)
            .find(|path| path.exists());
        // Before the download, none exists. Then nothing runs the program.
        Ok(found.unwrap_or_else(|| root.join(name)))
    }

    /// Downloads and unpacks the packages, unless that was done before.
    pub(crate) fn fetch(&self) -> Result<()> {
        let root = self.root()?;
        if root.exists() {
            return Ok(());
        }
        for program in ["apt-get", "dpkg-deb"] {
            which::which(program)
                .with_context(|| format!("found no `{program}`: a later release needs Debian"))?;
        }
        if !Path::new(KEYRING).exists() {
            bail!("found no {KEYRING}, which checks the packages: install debian-archive-keyring");
        }
        eprintln!(
            "downloading {} of Debian {} to {}",
            self.packages.join(", "),
            self.suite,
            root.display()
        );
        let partial = root.with_extension("partial");
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot delete {}", partial.display()));
            }
            _ => {}
        }
        let unpacked = partial.join("root");
        fs::create_dir_all(&unpacked)?;
        // Everyone may enter, whatever the umask is.
        for folder in [&partial, &unpacked] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        for file in self.download(&partial.join("apt"))? {
            run_quietly(Command::new("dpkg-deb").arg("-x").args([&file, &unpacked]))?;
        }
        let programs: Vec<_> = self
            .folders
            .iter()
            .map(|name| unpacked.join(name))
            .collect();
        use_own_loader(&unpacked, &root, &programs)?;
        fs::rename(&unpacked, &root)
            .and_then(|()| fs::remove_dir_all(&partial))
            .with_context(|| format!("cannot move the files to {}", root.display()))
    }

    /// Downloads the packages with all that they depend on, and returns the files.
    fn download(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let apt = Apt::create(folder, self.suite)?;
        apt.get(&["update"]).context(
            "cannot read the lists of packages of Debian: a later release needs the network",
        )?;
        let install = ["install", "--yes", "--download-only"];
        apt.get(&[&install, self.packages].concat())
            .context("cannot download the packages of Debian: a later release needs the network")?;
        let archives = fs::read_dir(folder.join("cache/archives"))?;
        let files = archives.map(|entry| Ok(entry?.path()));
        let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
        Ok(files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .collect())
    }
}

/// An `apt-get` that reads and writes only files of its own. In its view, no package is installed.
struct Apt {
    configuration: PathBuf,
}

impl Apt {
    fn create(folder: &Path, suite: &str) -> Result<Self> {
        for name in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(folder.join(name))?;
        }
        let mirror = mirror()?;
        let source = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        // The list of a mirror may be older than its date allows. Its signature is checked all the same.
        let settings = format!(
            "Dir \"{top}\";\nDir::Etc \"{top}/etc\";\nDir::State \"{top}/state\";\n\
             Dir::State::status \"{top}/status\";\nDir::Cache \"{top}/cache\";\nDir::Log \"{top}\";\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n\
             APT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\n\
             Acquire::Check-Valid-Until \"false\";\n",
            top = folder.display(),
        );
        let configuration = folder.join("apt.conf");
        fs::write(folder.join("status"), "")
            .and_then(|()| fs::write(folder.join("etc/sources.list"), source))
            .and_then(|()| fs::write(&configuration, settings))
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(Self { configuration })
    }

    fn get(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", &self.configuration)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        run_quietly(&mut command).map(drop)
    }
}

/// Returns the address from which this machine has its own packages of Debian.
fn mirror() -> Result<String> {
    let format = "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)";
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let lines = run_quietly(&mut command)?;
    let found = lines
        .lines()
        .find_map(|line| line.strip_prefix("Debian\tDebian\t"));
    let found = found
        .context("found no mirror of Debian in the lists of `apt-get`: run `apt-get update`")?;
    Ok(found.to_owned())
}

/// Replaces each program in these folders of `unpacked` by a script. The scripts have the paths below `root`, to which the
/// files are moved later.
fn use_own_loader(unpacked: &Path, root: &Path, folders: &[PathBuf]) -> Result<()> {
    let loader = loader(unpacked)?;
    let libraries = loader.parent().context("the loader is in a folder")?;
    let later = |path: &Path| -> Result<String> {
        let path = root.join(path.strip_prefix(unpacked)?);
        Ok(format!(
            "'{}'",
            path.display().to_string().replace('\'', r"'\''")
        ))
    };
    for folder in folders {
        for entry in
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            if !is_program(&path)? {
                continue;
            }
            let original = path.with_extension("elf");
            fs::rename(&path, &original)?;
            let script = format!(
                "#!/bin/sh\nexec {} --library-path {} --argv0 {} {} \"$@\"\n",
                later(&loader)?,
                later(libraries)?,
                later(&path)?,
                later(&original)?,
            );
            fs::write(&path, script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Returns the loader, in the folder of the libraries.
fn loader(unpacked: &Path) -> Result<PathBuf> {
    for folder in fs::read_dir(unpacked.join("usr/lib")).context("no library was unpacked")? {
        let Ok(files) = fs::read_dir(folder?.path()) else {
            continue;
        };
        for file in files {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("ld-linux") {
                return Ok(file.path());
            }
        }
    }
    bail!("the packages have no loader")
}

/// Returns whether this is a compiled program, and not a script or a link.
fn is_program(path: &Path) -> Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Ok(false);
    }
    let mut start = Vec::new();
    let length = u64::try_from(ELF.len())?;
    fs::File::open(path)?.take(length).read_to_end(&mut start)?;
    Ok(start == ELF)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies a program of this machine with its loader and its libraries to a folder, as packages would lie there.
    fn unpack(root: &Path, program: &str) -> PathBuf {
        let program = which::which(program).unwrap();
        let libraries = root.join("usr/lib/own");
        let programs = root.join("usr/bin");
        for folder in [&libraries, &programs] {
            fs::create_dir_all(folder).unwrap();
        }
        let printed = run_quietly(Command::new("ldd").arg(&program)).unwrap();
        for path in printed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let path = Path::new(path);
            fs::copy(path, libraries.join(path.file_name().unwrap())).unwrap();
        }
        let copy = programs.join(program.file_name().unwrap());
        fs::copy(program, &copy).unwrap();
        copy
    }

    #[test]
    fn a_program_runs_with_the_loader_and_the_libraries_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (partial, root) = (
            folder.path().join("partial"),
            folder.path().join("it's here"),
        );
        let copy = unpack(&partial, "cat");
        let script = copy.with_file_name("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        use_own_loader(&partial, &root, &[partial.join("usr/bin")]).unwrap();
        fs::rename(&partial, &root).unwrap();

        assert_eq!(
            fs::read(root.join("usr/bin/script")).unwrap(),
            b"#!/bin/sh\n"
        );
        let mut cat = Command::new(root.join("usr/bin/cat"));
        let maps = run_quietly(cat.args(["/proc/self/maps", "/proc/self/cmdline"])).unwrap();
        let files: Vec<_> = maps.lines().filter(|line| line.contains(".so")).collect();
        let own = root.join("usr/lib/own").display().to_string();
        assert!(
            files.len() > 1 && files.iter().all(|line| line.contains(&own)),
            "{maps}"
        );

        // A program that looks for others beside it must find the scripts.
        let missing = Command::new(root.join("usr/bin/cat"))
            .arg("no such file")
            .output()
            .unwrap();
        let name = format!("{}: ", root.join("usr/bin/cat").display());
        let said = String::from_utf8(missing.stderr).unwrap();
        assert!(
            said.starts_with(&name) && said.contains("no such file"),
            "{said}"
        );
    }

    #[test]
    fn apt_has_only_folders_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let apt = Apt::create(folder.path(), "sid").unwrap();
        let mut command = Command::new("apt-config");
        let script = "lists Dir::State::lists/d archives Dir::Cache::archives/d status Dir::State::status/f \
            sources Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d log Dir::Log/d";
        command.env("APT_CONFIG", &apt.configuration).arg("shell");
        let printed = run_quietly(command.args(script.split_whitespace())).unwrap();
        assert_eq!(printed.lines().count(), 6, "{printed}");
        for line in printed.lines() {
            let path = line.split('\'').nth(1).unwrap();
            assert!(Path::new(path).starts_with(folder.path()), "{line}");
        }
    }
}

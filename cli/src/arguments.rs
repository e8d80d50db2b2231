//! The arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use diesel_binds::backend::Backend;

/// Looks after the databases that diesel-binds.toml lists.
///
/// Reads `.env` as the Diesel CLI does. Exits with 0 if all is well, and with 1 if something was found, left undone or
/// failed. Exits with 2 if the command, the manifest or the environment is wrong.
#[derive(Parser)]
#[command(name = "diesel-binds", version)]
pub(crate) struct Arguments {
    /// The manifest; without it, the nearest diesel-binds.toml in this folder or above
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// The format of the output
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person
    Text,
    /// For a program
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check whether every database is ready for sessions
    Doctor {
        /// Count warnings as errors
        #[arg(long)]
        strict: bool,
    },
    /// List or finish units that are prepared and unfinished
    #[command(subcommand)]
    InDoubt(DoubtCommand),
    /// Finish every unit that is left prepared, once
    Recover {
        /// Also delete records of decisions that are not needed any more and are older than this; without it, all are
        /// kept
        #[arg(long, value_name = "DAYS")]
        retention: Option<u32>,
    },
    /// Give a copied database an id of its own, or let a moved one keep its id
    Identity {
        /// The bind of the database
        #[arg(value_name = "BIND")]
        key: String,
        #[command(flatten)]
        identity: KeptOrNew,
    },
    /// Write the files of a project: diesel-binds.toml, and for each bind a folder of migrations with its diesel.toml
    Init {
        /// The name of the application, which is in the names of its prepared transactions; defaults to the package's
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        /// The binds, as `accounts=postgres`; backends are `postgres`, `mysql` (MariaDB too) and `sqlite`
        #[arg(required = true, value_name = "BIND=BACKEND", value_parser = new_bind)]
        binds: Vec<(String, Written)>,
    },
    /// Add one bind to diesel-binds.toml, with its folder of migrations; for an existing bind, write the files that are
    /// missing
    Add {
        /// The key of the bind
        #[arg(value_name = "BIND")]
        key: String,
        #[command(flatten)]
        new: NewBind,
    },
    /// Create the databases that are missing, apply the migrations, and write the schema files
    Setup(Driven),
    /// Run a command of `diesel migration` for one bind, some, or all
    #[command(subcommand)]
    Migration(MigrationCommand),
    /// Print the tables of databases, as Diesel's macros declare them
    PrintSchema(Driven),
}

/// The decision of the `identity` command: a new id, or the present one.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct KeptOrNew {
    /// The database is a copy, and its original stays in use: give it an id of its own
    #[arg(long)]
    pub(crate) new: bool,
    /// The database was moved or restored, and the file from which it came is gone for good: let it keep its id
    #[arg(long)]
    pub(crate) keep: bool,
}

/// A bind that is not in the manifest yet.
#[derive(Args)]
pub(crate) struct NewBind {
    /// The kind of the database
    #[arg(long, value_enum)]
    pub(crate) backend: Option<Written>,
    /// The environment variable with the URL of the bind; defaults to `<BIND>_DATABASE_URL`
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) url_env: Option<String>,
    /// The bind in whose database its tables are
    #[arg(long, value_name = "BIND", conflicts_with_all = ["url_env", "attach_to"])]
    pub(crate) shared_with: Option<String>,
    /// The bind to whose connection its SQLite file is attached
    #[arg(long, value_name = "BIND")]
    pub(crate) attach_to: Option<String>,
}

/// A backend, under its name in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Written {
    Postgres,
    /// MariaDB too
    Mysql,
    Sqlite,
}

impl Written {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    pub(crate) fn of(backend: Backend) -> Self {
        match backend {
            Backend::Postgres => Self::Postgres,
            Backend::Mysql => Self::Mysql,
            _ => Self::Sqlite,
        }
    }
}

fn new_bind(text: &str) -> Result<(String, Written), String> {
    let (key, backend) = text
        .split_once('=')
        .ok_or("write it as `accounts=postgres`")?;
    let backend = Written::from_str(backend, false).map_err(|_| {
        let known: Vec<_> = Written::value_variants()
            .iter()
            .map(|written| written.text())
            .collect();
        format!(
            "`{backend}` is not a backend: use one of {} (MariaDB is `mysql`)",
            known.join(", ")
        )
    })?;
    Ok((key.to_owned(), backend))
}

/// A command of the Diesel CLI, for some binds.
#[derive(Args)]
pub(crate) struct Driven {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// More arguments for `diesel`
    #[arg(last = true, value_name = "ARGUMENTS OF DIESEL")]
    pub(crate) passed: Vec<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Selection {
    /// A bind, by its key; may be repeated
    #[arg(long = "bind", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// Every bind of the manifest
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Subcommand)]
pub(crate) enum MigrationCommand {
    /// Print for every bind which migrations are applied, pending or unknown to its folder, and whether its schema file
    /// differs
    Status,
    /// Create a migration, with a version that no other bind has
    Generate {
        /// The name of the migration
        name: String,
        #[command(flatten)]
        driven: Driven,
    },
    /// Apply the pending migrations
    Run(Driven),
    /// Revert the last migration of each bind; `-- --number 2` or `-- --all` reverts more
    Revert(Driven),
    /// Revert the last migration of each bind, and apply it again
    Redo(Driven),
    /// List the migrations, with a mark on those that are applied
    List(Driven),
    /// Exit with 0 if no migration is pending, with 1 if one is
    Pending(Driven),
}

#[derive(Subcommand)]
pub(crate) enum DoubtCommand {
    /// List the units, each with the reason why it is unfinished; changes nothing
    List,
    /// Ask the holder of one unit how it ended, keep a late decision out, and finish the unit accordingly
    Resolve {
        /// The gid of the unit, or the name of one of its branches, as `in-doubt list` prints them
        gid: String,
        /// Do not ask the holder, which is lost for good: finish the unit with this outcome, and record it on each
        /// database that has a part of it. Refused while the holder answers
        #[arg(long, value_enum, value_name = "OUTCOME", requires = "reason")]
        force: Option<Forced>,
        /// The reason for the forced outcome; recorded with it
        #[arg(long, requires = "force")]
        reason: Option<String>,
        /// This many parts of the unit are not prepared any more on any database: they were finished with the forced
        /// outcome, were never prepared, or are lost with their databases. Nothing verifies that: if it is wrong, the
        /// unit is torn
        #[arg(long, requires = "force", value_name = "N", default_value_t = 0)]
        parts_are_gone: u16,
        /// The holder is lost for good, and the manifest has no bind of its key any more, or its server refuses the
        /// connection. Nothing verifies that: if the holder still exists, the unit is torn
        #[arg(long, requires = "force")]
        holder_is_gone: bool,
    },
}

/// The outcome that a unit is forced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Forced {
    /// Keep the changes of the unit
    Commit,
    /// Undo the changes of the unit
    Rollback,
}

#[cfg(test)]
mod tests;

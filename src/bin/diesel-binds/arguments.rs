//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Looks after the databases that diesel-binds.toml lists.
///
/// Reads `.env` as the Diesel CLI does. Exits with 0 if all is well, with 1 if something was found, left undone or
/// failed, and with 2 if the command, the manifest or the environment is wrong.
#[derive(Parser)]
#[command(name = "diesel-binds", version)]
pub(crate) struct Arguments {
    /// The manifest; without it, the nearest diesel-binds.toml in this folder or above
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// How to print what was found
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
    /// Ask every database whether it is ready for what sessions will ask of it
    Doctor {
        /// Count warnings as errors
        #[arg(long)]
        strict: bool,
    },
    /// Units that are prepared and unfinished
    #[command(subcommand)]
    InDoubt(DoubtCommand),
    /// Finish every unit that is left prepared, once
    Recover,
}

#[derive(Subcommand)]
pub(crate) enum DoubtCommand {
    /// Say which there are, and what each waits for; changes nothing
    List,
    /// Ask the holder of one unit how it ended, keep a late decision out, and finish the unit accordingly
    Resolve {
        /// The gid of the unit, or the name of one of its branches, as `in-doubt list` prints them
        gid: String,
    },
}

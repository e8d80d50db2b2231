//! The command line of diesel-binds: manages the databases of a project, by its manifest.
//!
//! The exit code is 0 if all is well. It is 1 if something was found, left undone or failed, which the output names. It
//! is 2 if the command, the manifest, the environment or a database is wrong: then nothing was done.

mod arguments;
mod diesel_cli;
mod doctor;
mod doubt;
mod exit;
mod identity;
mod migration;
mod project;
mod redaction;
mod scaffold;

use std::process::ExitCode;

use clap::Parser as _;

use diesel_binds::recovery::ForceOptions;

use crate::arguments::{Arguments, Command, DoubtCommand};
use crate::exit::{Exit, Refusal};
use crate::project::Project;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = run(&arguments);
    match exit {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Findings) => ExitCode::from(1),
        Err(refusal) => {
            eprintln!("error: {refusal}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Exit, Refusal> {
    // These commands write the manifest that the others read.
    match &arguments.command {
        Command::Init { namespace, binds } => {
            let file = arguments.manifest.as_deref();
            return scaffold::init(file, namespace.as_deref(), binds);
        }
        Command::Add { key, new } => return scaffold::add(arguments.manifest.as_deref(), key, new),
        _ => {}
    }
    let project = Project::open(arguments.manifest.as_deref())?;
    let format = arguments.format;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::new(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        match &arguments.command {
            Command::Doctor { strict } => doctor::doctor(&project, *strict, format).await,
            Command::InDoubt(DoubtCommand::List) => doubt::list(&project, format).await,
            Command::InDoubt(DoubtCommand::Resolve {
                gid,
                force,
                reason,
                parts_are_gone,
                holder_is_gone,
            }) => {
                let mut options = ForceOptions::new().parts_are_gone(*parts_are_gone);
                if *holder_is_gone {
                    options = options.holder_is_gone();
                }
                match force.zip(reason.as_deref()) {
                    Some((outcome, reason)) => {
                        doubt::force(&project, gid, outcome, reason, options, format).await
                    }
                    None => doubt::resolve(&project, gid, format).await,
                }
            }
            Command::Recover { retention } => doubt::recover(&project, *retention, format).await,
            Command::Identity {
                key,
                identity: asked,
            } => identity::identity(&project, key, asked).await,
            Command::Setup(asked) => migration::setup(&project, asked, format).await,
            Command::Migration(command) => migration::migration(&project, command, format).await,
            Command::PrintSchema(asked) => migration::print_schema(&project, asked, format).await,
            Command::Init { .. } | Command::Add { .. } => unreachable!("they have returned"),
        }
    })
}

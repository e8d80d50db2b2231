//! The command `identity`: renews or keeps the id of a database that may be a copy.

use diesel_binds::error::Fault;

use crate::arguments::KeptOrNew;
use crate::exit::{Exit, Refusal, chain};
use crate::project::{Project, Reachable};

pub(crate) async fn identity(
    project: &Project,
    key: &str,
    asked: &KeptOrNew,
) -> Result<Exit, Refusal> {
    let Reachable { binds, problems } = project.reachable();
    if let Some(problem) = problems.iter().find(|problem| problem.bind() == Some(key)) {
        return Err(Refusal::new(problem.to_string()));
    }
    let done = match &binds {
        Some(binds) if asked.new => binds.renew_identity(key).await,
        Some(binds) => binds.keep_identity(key).await,
        None => Err(Fault::UnknownBind),
    };
    match done {
        Ok(()) if asked.new => println!("`{key}` has an id of its own"),
        Ok(()) => println!("`{key}` keeps its id"),
        Err(Fault::UnknownBind) => {
            return Err(Refusal::new(format!(
                "`{key}` is not a bind with a database of its own"
            )));
        }
        Err(fault) => {
            eprintln!("error: nothing was changed: {}", chain(&fault));
            return Ok(Exit::Findings);
        }
    }
    Ok(Exit::Success)
}

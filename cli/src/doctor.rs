//! The command `doctor`: the preflight of every bind.

use diesel_binds::check::{BindReport, Finding, Severity};
use diesel_binds::error::Fault;
use serde_json::json;

use crate::arguments::Format;
use crate::exit::{Exit, Refusal, chain};
use crate::migration;
use crate::project::{Project, Reachable};

pub(crate) async fn doctor(
    project: &Project,
    strict: bool,
    format: Format,
) -> Result<Exit, Refusal> {
    let Reachable { binds, problems } = project.reachable();
    let report = match &binds {
        Some(binds) => Some(binds.check().await),
        None => None,
    };
    match format {
        Format::Text => {
            for problem in &problems {
                println!("error: {problem}");
            }
            if let Some(report) = &report {
                print!("{report}");
                for report in &report.binds {
                    for advice in report
                        .findings
                        .iter()
                        .filter_map(|f| advice(project, report, f))
                    {
                        println!("{}: {advice}", report.bind);
                    }
                }
            }
        }
        Format::Json => {
            let reports = report.iter().flat_map(|report| &report.binds);
            println!(
                "{:#}",
                json!({
                    "problems": problems.iter().map(|problem| json!({
                        "bind": problem.bind(),
                        "message": problem.to_string(),
                    })).collect::<Vec<_>>(),
                    "binds": reports.map(|report| bind(project, report)).collect::<Vec<_>>(),
                })
            );
        }
    }
    let tolerable = if strict {
        Severity::Info
    } else {
        Severity::Warning
    };
    let fine = report.is_none_or(|report| report.severity() <= tolerable);
    Ok(Exit::success_if(problems.is_empty() && fine))
}

fn bind(project: &Project, report: &BindReport) -> serde_json::Value {
    json!({
        "bind": report.bind,
        "backend": report.backend.to_string(),
        "version": report.version,
        "findings": report.findings.iter().map(|found| finding(project, report, found)).collect::<Vec<_>>(),
    })
}

fn finding(project: &Project, report: &BindReport, finding: &Finding) -> serde_json::Value {
    let severity = match finding.severity() {
        Severity::Info => "ok",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    json!({
        "severity": severity,
        "message": chain(finding),
        "advice": advice(project, report, finding),
    })
}

/// Returns the commands that repair a finding.
fn advice(project: &Project, report: &BindReport, finding: &Finding) -> Option<String> {
    let Finding::Tables(Fault::NotInstalled(_)) = finding else {
        return None;
    };
    let key = report.bind;
    let setup = format!("`diesel-binds setup --bind {key}` makes the tables that are missing");
    let folder = migration::read(project.manifest.bind(key)?.migrations());
    match folder.is_ok_and(|folder| migration::protocol(&folder).is_some()) {
        true => Some(setup),
        false => Some(format!(
            "`diesel-binds add {key}` writes the migration of the tables, and then {setup}"
        )),
    }
}

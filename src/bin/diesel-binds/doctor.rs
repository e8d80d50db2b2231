//! `doctor`: the preflight of every bind.

use diesel_binds::{BindReport, Finding, Severity};
use serde_json::json;

use crate::arguments::Format;
use crate::ending::{Ending, Refusal, chain};
use crate::project::{Project, Reachable};

pub(crate) async fn doctor(
    project: &Project,
    strict: bool,
    format: Format,
) -> Result<Ending, Refusal> {
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
                    "binds": reports.map(bind).collect::<Vec<_>>(),
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
    Ok(Ending::well_if(problems.is_empty() && fine))
}

fn bind(report: &BindReport) -> serde_json::Value {
    json!({
        "bind": report.bind,
        "backend": report.backend.to_string(),
        "version": report.version,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> serde_json::Value {
    let severity = match finding.severity() {
        Severity::Info => "ok",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    json!({ "severity": severity, "message": chain(finding) })
}

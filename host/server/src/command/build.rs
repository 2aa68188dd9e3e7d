//! `tidegate build`: builds Wasm policies from source.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{UsageError, config_file, configuration, print, print_error};
use crate::build::{BuildError, BuiltComponent, build};

const EXAMPLES: &str = "\
Examples:
  tidegate build policies/guests/shop                          write policies/retry/shop.wasm
  tidegate build policies/guests/shop --name shop.candidate    build a candidate
  tidegate build policies/guests/shop_admit --name shop        write policies/admit/shop.wasm";

/// The options of `tidegate build`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Build {
    /// Project directories, which contain a Cargo.toml or a package.json.
    #[arg(value_name = "DIR", required = true)]
    projects: Vec<PathBuf>,
    /// The policy's name [default: the directory's name].
    ///
    /// The name of a retry or admission policy is the name of its platform. A name that ends in `.candidate` builds a
    /// candidate: it runs beside the active policy, and the server only reports where their verdicts differ.
    #[arg(long, value_name = "NAME", value_parser = policy_name)]
    name: Option<String>,
    /// Write components below this directory [default: `[policies] dir` in the configuration].
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Read the policy directory from this configuration file [default: ./tidegate.toml if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Build {
    /// Builds each project. Returns exit status 1 if one does not compile or is not a policy.
    ///
    /// # Errors
    /// Returns an error if a tool is missing, with installation instructions, or if a directory is not a project.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        if self.name.is_some() && self.projects.len() > 1 {
            return Err(UsageError("--name can only be used with one project".to_owned()));
        }
        let policies = match &self.policies {
            Some(dir) => dir.clone(),
            None => configuration(config_file(self.config.clone()).as_ref())?.policies.dir,
        };
        let mut ok = true;
        let mut components = Vec::new();
        for project in &self.projects {
            let name = self.name.clone().map_or_else(|| directory_name(project), Ok)?;
            match build(project, &name, &policies) {
                Ok(component) => components.push(component),
                Err(BuildError::Source(message)) => {
                    print_error(&format!("{}: {message}", project.display()));
                    ok = false;
                }
                Err(BuildError::Setup(message)) => return Err(UsageError(message)),
            }
        }
        if self.json {
            let components: Vec<_> = components.iter().map(component_json).collect();
            print(&json!({ "ok": ok, "components": components }).to_string());
        } else {
            components.iter().map(component_line).for_each(|line| print(&line));
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Accepts file names that stay in the policy's folder and that the server does not ignore.
fn policy_name(text: &str) -> Result<String, String> {
    let is_valid = Path::new(text).file_name().is_some_and(|name| name == text) && !text.starts_with('.');
    if is_valid { Ok(text.to_owned()) } else { Err("expected a name such as taobao or taobao.candidate".to_owned()) }
}

/// Returns the name of a project's directory, also for paths such as `.` or `..`.
fn directory_name(project: &Path) -> Result<String, UsageError> {
    let path = std::fs::canonicalize(project).map_err(|error| UsageError(format!("{}: {error}", project.display())))?;
    path.file_name().and_then(|name| name.to_str()).map(str::to_owned).ok_or_else(|| {
        UsageError(format!("{}: cannot derive a policy name from the directory; use --name NAME", project.display()))
    })
}

fn component_line(component: &BuiltComponent) -> String {
    let change = if component.changed { "written" } else { "unchanged" };
    format!("{}: {} bytes, {change}, built with {}", component.path.display(), component.size, component.built_with)
}

fn component_json(component: &BuiltComponent) -> Value {
    json!({
        "path": component.path,
        "bytes": component.size,
        "changed": component.changed,
        "built_with": component.built_with,
    })
}

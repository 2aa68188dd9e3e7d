//! `tidegate build`: sources of Wasm policies into the components that a host loads.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Usage, complain, config_file, configuration, say};
use crate::build::{Built, Failed, build};

/// Build a Wasm policy from its Rust or JavaScript source.
#[derive(Args)]
pub struct Build {
    /// Projects, as `tidegate new` makes them: directories with a Cargo.toml or a package.json.
    #[arg(value_name = "DIR", required = true)]
    projects: Vec<PathBuf>,
    /// The policy's name, which for a platform's policy is the platform's; the directory's name unless said.
    /// With `.candidate` at its end it runs beside the live one and only reports where it differs.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// The directory of policies instead of the configured one.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// The configuration, for the directory of policies.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Build {
    /// Builds each project; 1 where one does not compile or is no policy.
    ///
    /// # Errors
    /// A tool that is missing, with how to get it; a directory that is no project.
    pub fn run(self) -> Result<ExitCode, Usage> {
        if self.name.is_some() && self.projects.len() > 1 {
            return Err(Usage("--name is for one project".to_owned()));
        }
        let policies = match &self.policies {
            Some(dir) => dir.clone(),
            None => configuration(config_file(self.config.clone()).as_deref())?.policies.dir,
        };
        let mut good = true;
        let mut components = Vec::new();
        for project in &self.projects {
            let name = self.name.clone().map_or_else(|| name_of(project), Ok)?;
            match build(project, &name, &policies) {
                Ok(built) => components.push(built),
                Err(Failed::Refused(why)) => {
                    complain(&format!("{}: {why}", project.display()));
                    good = false;
                }
                Err(Failed::Missing(why)) => return Err(Usage(why)),
            }
        }
        if self.json {
            let components: Vec<_> = components.iter().map(value).collect();
            say(&json!({ "good": good, "components": components }).to_string());
        } else {
            components.iter().map(line).for_each(|line| say(&line));
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// A name that a host takes for a policy's and that stays in its folder.
fn name(text: &str) -> Result<String, String> {
    let plain = Path::new(text).file_name().is_some_and(|name| name == text) && !text.starts_with('.');
    if plain { Ok(text.to_owned()) } else { Err("expected a name as in taobao or taobao.candidate".to_owned()) }
}

/// The name of a project's directory, however it was written.
fn name_of(project: &Path) -> Result<String, Usage> {
    let path = std::fs::canonicalize(project).map_err(|error| Usage(format!("{}: {error}", project.display())))?;
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| Usage(format!("{}: it has no name that a policy can have; say --name NAME", project.display())))
}

fn line(built: &Built) -> String {
    let what = if built.changed { "written" } else { "unchanged" };
    format!("{}: {} bytes, {what}, built with {}", built.path.display(), built.size, built.with)
}

fn value(built: &Built) -> Value {
    json!({ "path": built.path, "bytes": built.size, "changed": built.changed, "with": built.with })
}

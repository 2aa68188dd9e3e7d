//! The binary `tidegate`.

use std::process::ExitCode;

use clap::Parser;
use tidegate_server::command::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Config(config) => config.run(),
        Command::Eval(eval) => eval.run(),
        Command::New(new) => new.run(),
        Command::Build(build) => build.run(),
        Command::Test(test) => test.run(),
        Command::Replay(replay) => replay.run(),
        Command::Limits(limits) => limits.run(),
        Command::Metrics(metrics) => metrics.run(),
        Command::Alerts(alerts) => alerts.run(),
        Command::Locks(locks) => locks.run(),
        Command::Status(status) => status.run(),
        Command::Bench(bench) => bench.run(),
    };
    result.unwrap_or_else(|error| error.report())
}

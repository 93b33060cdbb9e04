//! `afterglow-session`: one session's keeper and worker, started by
//! `afterglow-server` and by the keeper.

use afterglow_server::{keeper, worker};
use clap::Parser;
use std::io::IsTerminal as _;

/// One session of Afterglow. Started by afterglow-server, not by hand.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    /// Keeps a session: its X server, its programs, its worker
    Keeper,
    /// Shows a session on a DTU
    Worker,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("AFTERGLOW_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log on a full disk must not end what it tells of: saying so on
        // the same disk fails too, and would panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match arguments {
        Arguments::Keeper => keeper::run(),
        Arguments::Worker => worker::run(),
    }
}

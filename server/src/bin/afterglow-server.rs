//! The server of one host: command line and exit codes.

use afterglow_server::{config::Config, init, server};
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// The server of an Afterglow group: takes desktop units, finds or starts the
/// session of their user's token.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a directory with a group key and a commented afterglow.toml.
    Init {
        /// The directory; what is in it already stays as it is.
        dir: PathBuf,
    },
    /// Print the group's fingerprint, which DTUs are told or asked about.
    Fingerprint {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Serve.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to log: error, warn, info, debug, trace, or a tracing filter.
        #[arg(long, value_name = "LEVEL", default_value = "info")]
        log: String,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("afterglow-server: {}", in_words(&e));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each once: many errors say their cause already.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !words.contains(&cause) {
            let between = if words.is_empty() { "" } else { ": " };
            words = format!("{words}{between}{cause}");
        }
    }
    words
}

fn perform(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { dir } => {
            let made = init::init(&dir)?;
            print!("{}", next_steps(&made));
        }
        Command::Fingerprint { config } => {
            let config = Config::load(&config)?;
            println!("{}", init::group_of(&config.read_group_key()?)?);
        }
        Command::Run { config, log } => {
            let config = Config::load(&config)?;
            let filter = tracing_subscriber::EnvFilter::try_new(&log)
                .with_context(|| format!("--log {log}"))?;
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(std::io::stderr)
                // A log on a full disk must not end what it tells of: saying so on
                // the same disk fails too, and would panic.
                .log_internal_errors(false)
                .with_ansi(std::io::stderr().is_terminal())
                .init();
            let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
            let result = runtime.block_on(server::run(config));
            // A keeper that is just starting must not hold the exit up.
            runtime.shutdown_background();
            result?;
        }
    }
    Ok(())
}

fn next_steps(made: &init::Made) -> String {
    let kept = |kept: bool| if kept { " (was there, kept)" } else { "" };
    let dir = made.config.parent().unwrap_or(&made.config).display();
    format!(
        "configuration {config}{config_kept}\n\
         group key     {dir}/group.key{key_kept}\n\
         fingerprint   {group}\n\
         \n\
         Next:\n\
         1. Start this server:  afterglow-server run --config {config}\n\
         2. On another host: copy group.key into a directory of mode 0700, keep its mode 0600,\n\
         \u{20}  and run `afterglow-server init` on that directory.\n\
         3. On a client:        afterglow --server HOST --group {group}\n",
        config = made.config.display(),
        config_kept = kept(made.config_kept),
        key_kept = kept(made.key_kept),
        group = made.group,
    )
}

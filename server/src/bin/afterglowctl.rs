//! The administrator's command: command line and exit codes.

use afterglow_server::admin::commands;
use afterglow_server::admin::table::Addresses;
use afterglow_server::admin::watch::{self, Form, WatchError};
use afterglow_server::config::{Config, SYSTEM_ADMIN_SOCKET, SYSTEM_CONFIG};
use anyhow::{anyhow, bail};
use clap::{Args, Parser, Subcommand};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Looks at an Afterglow server of this host, and through it at its group.
#[derive(Parser)]
#[command(
    version,
    after_help = "The server is the one of --socket or --config; otherwise that of\n\
                  /etc/afterglow/afterglow.toml if the file is there and you may read it;\n\
                  otherwise the one that listens at /run/afterglow/admin.sock.\n\n\
                  Exit codes: 0 it was done, 1 it was not (a line on standard error says why\n\
                  and what to do), 2 the command line is wrong."
)]
struct Arguments {
    /// The server's admin socket.
    #[arg(long, value_name = "PATH", global = true, display_order = 90, conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// The server's configuration file, which says where its socket is.
    #[arg(long, value_name = "FILE", global = true, display_order = 90)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the servers of the group as this one sees them.
    #[command(after_help = "A line for each server, the one that is asked first, and a line \
                            for each\nof its interfaces:\n\n  \
                            lastseen  seconds since it was heard last\n  \
                            timeoff   seconds by which its clock is ahead of this server's\n  \
                            TRUSTED   it signs with the group's key; others are listed last\n  \
                            up, down  it was heard lately, or not; `draining` takes no new \
                            sessions\n  \
                            lastpkt   seconds since something came from that interface; -1: \
                            never")]
    Topology(Topology),
    /// List sessions, look at one, take it from its screen, end it, move it.
    #[command(subcommand)]
    Sessions(commands::Sessions),
    /// List, start, stop and restart the services of a session.
    #[command(subcommand)]
    Services(commands::Services),
    /// List, make, change and remove users; say whose a token is.
    #[command(subcommand)]
    Users(commands::Users),
    /// Take leave: this server gets no new sessions; those it has go on. Waits
    /// until there are none, and says for whom.
    Drain {
        /// Do not wait for the sessions that are there.
        #[arg(long)]
        no_wait: bool,
        /// Take new sessions again.
        #[arg(long)]
        undo: bool,
    },
    /// Take new sessions again: the same as `drain --undo`.
    Undrain,
}

#[derive(Args)]
struct Topology {
    /// Print the data, as JSON: times in milliseconds, -1 for never. With
    /// --watch, an object a line.
    #[arg(long)]
    json: bool,
    /// Print addresses in hexadecimal, as the group's messages have them.
    #[arg(long, conflicts_with = "json")]
    hex: bool,
    /// Go on: redraw the table on a terminal, print one after the other
    /// elsewhere, until Ctrl+C or until nobody reads it.
    #[arg(long)]
    watch: bool,
    /// How often, with --watch: 0.1 to 3600 seconds.
    #[arg(
        long,
        value_name = "SECS",
        requires = "watch",
        default_value = "1",
        value_parser = seconds
    )]
    every: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("0.1 to 3600 seconds are possible".into()),
    }
}

fn main() -> ExitCode {
    match perform(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "afterglowctl: {e}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: Arguments) -> anyhow::Result<()> {
    let socket = socket(arguments.socket, arguments.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| anyhow!("cannot start the runtime: {e}"))?;
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Topology(how) => show(&socket, &how).await,
            Command::Sessions(command) => commands::sessions(&socket, command).await,
            Command::Services(command) => commands::services(&socket, command).await,
            Command::Users(command) => commands::users(&socket, command).await,
            Command::Drain { undo, no_wait } => commands::drain(&socket, !undo, !no_wait).await,
            Command::Undrain => commands::drain(&socket, false, false).await,
        }
    });
    // A write that nobody takes must not hold the exit up.
    runtime.shutdown_background();
    result
}

/// The socket of the server that is meant.
fn socket(socket: Option<PathBuf>, config: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(socket) = socket {
        return Ok(socket);
    }
    if let Some(config) = config {
        return Ok(Config::load(&config)?.admin_socket);
    }
    // Whoever may speak to the server need not be allowed to read its
    // configuration.
    let usual = Path::new(SYSTEM_ADMIN_SOCKET);
    match std::fs::File::open(SYSTEM_CONFIG) {
        Ok(_) => Ok(Config::load(Path::new(SYSTEM_CONFIG))?.admin_socket),
        Err(e)
            if e.kind() == ErrorKind::PermissionDenied
                && matches!(usual.try_exists(), Ok(false)) =>
        {
            bail!(
                "{SYSTEM_CONFIG} is not for you to read, and no afterglow-server listens at \
                 {SYSTEM_ADMIN_SOCKET}; become the server's user, or say where it listens with \
                 --socket PATH"
            )
        }
        Err(_) => Ok(usual.to_owned()),
    }
}

async fn show(socket: &Path, how: &Topology) -> anyhow::Result<()> {
    let form = match (how.json, how.hex) {
        (true, _) => Form::Json,
        (false, true) => Form::Table(Addresses::Hex),
        (false, false) => Form::Table(Addresses::Dotted),
    };
    let shown = match how.watch {
        true => tokio::select! {
            shown = watch::watch(socket, form, how.every) => shown,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(WatchError::Write),
        },
        false => watch::once(socket, form).await,
    };
    match shown {
        Err(e) if !e.is_unread() => Err(e.into()),
        _ => Ok(()),
    }
}

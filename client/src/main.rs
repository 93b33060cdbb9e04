//! `afterglow`, the desktop unit: the window on the main thread, the network
//! on its own.

use afterglow_client::cli::Cli;
use afterglow_client::event_log::EventLog;
use afterglow_client::state_dir::StateDir;
use afterglow_client::window::present::PresentOptions;
use afterglow_client::window::{self, Display};
use afterglow_client::{keyboard, network};
use anyhow::Context;
use clap::Parser;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the servers may take to hear that the window is closed.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "warn,winit=error,afterglow_client=info,afterglow_link=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("afterglow: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let display = Display::connect()?;
    let state = match cli.state.or_else(StateDir::default_path) {
        Some(path) => StateDir::open(&path)?,
        None => anyhow::bail!("there is no place for this DTU's key: give one with --state DIR"),
    };
    let event_log = match &cli.event_log {
        Some(name) => EventLog::open(name)
            .with_context(|| format!("the event log {name:?} cannot be opened"))?,
        None => EventLog::none(),
    };
    let (to_network, from_window) = tokio::sync::mpsc::channel(window::CHANNEL_MESSAGES);
    let present =
        PresentOptions { renderer: cli.renderer, scale: cli.scale, event_log: event_log.clone() };
    let options = network::Options {
        servers: cli.servers.iter().map(ToString::to_string).collect(),
        group: cli.group,
        group_port: cli.group_port,
        token: cli.token,
        reader: cli.reader,
        dtu_name: host_name(),
        state,
        event_log,
    };
    let network = network::spawn(options, display.sender(), from_window);
    let keymap = cli.keymap.unwrap_or_else(keyboard::detect);
    let ended = display.run(
        window::Options {
            size: cli.size,
            fullscreen: cli.fullscreen,
            keymap,
            dark_after_ms: (cli.dark_after > 0).then(|| u64::from(cli.dark_after) * 1000),
            present,
            screenshot: cli.screenshot,
            spoil_pixel: cli.spoil_pixel,
        },
        to_network,
    );
    wait_for(&network);
    Ok(ended?)
}

/// What people call this DTU.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "a desktop unit".to_owned() } else { name.to_owned() }
}

/// Lets the network say goodbye, but does not wait for a server that does not
/// answer.
fn wait_for(network: &JoinHandle<()>) {
    let started = Instant::now();
    while !network.is_finished() && started.elapsed() < FAREWELL_MAX {
        std::thread::sleep(Duration::from_millis(5));
    }
}

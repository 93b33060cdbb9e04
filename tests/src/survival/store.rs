//! PostgreSQL on a host of its own, with a standby if there is to be one.

use crate::netns::lan::Node;
use crate::postgres::Postgres;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long an orderly end may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// The store.
pub struct Store {
    node: Arc<Node>,
    directory: PathBuf,
    primary: Database,
    standby: Option<Database>,
}

/// One PostgreSQL, and its process while it runs.
struct Database {
    postgres: Postgres,
    process: Option<Process>,
}

impl Store {
    /// Starts it on this host, with its files in `directory`.
    pub fn new(directory: &Path, node: &Arc<Node>, at: (Ipv4Addr, u16)) -> Result<Self> {
        let postgres = Postgres::prepare(directory, &at.0.to_string(), at.1)?;
        let mut store = Store {
            node: node.clone(),
            directory: directory.to_owned(),
            primary: Database { postgres, process: None },
            standby: None,
        };
        store.start()?;
        Ok(store)
    }

    /// Where servers find it.
    pub fn url(&self) -> String {
        self.primary.postgres.url()
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.primary.start(&self.node, &self.directory.join("postgres.log"))
    }

    /// It is gone, without a word.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.primary.process.take().context("the store runs")?;
        process.kill();
        Ok(())
    }

    /// From now on a standby has all that the store acknowledges.
    pub fn add_standby(&mut self) -> Result<()> {
        let primary = &self.primary.postgres;
        let port = primary.port() + 1;
        let (postgres, backup) = primary.prepare_standby(&self.directory, "standby", port)?;
        run_in(&self.node, &backup)?;
        let mut standby = Database { postgres, process: None };
        standby.start(&self.node, &self.directory.join("standby.log"))?;
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.ask("SELECT pg_reload_conf()")?;
        wait::until_true("the standby follows", || {
            Ok(self.ask("SELECT sync_state FROM pg_stat_replication")?.trim() == "sync")
        })?;
        self.standby = Some(standby);
        Ok(())
    }

    /// The store is gone; its standby is promoted and takes its address.
    pub fn promote_standby(&mut self) -> Result<()> {
        let mut standby = self.standby.take().context("there is a standby")?;
        let promote = standby.postgres.ask_command("SELECT pg_promote(true, 15)")?;
        let done = run_in(&self.node, &promote)?;
        ensure!(done.trim() == "t", "the standby was not promoted in time");
        let mut process = standby.process.take().context("the standby runs")?;
        process.signal(Signal::INT)?;
        process.wait_end(STOP_TIMEOUT)?;
        standby.postgres.take_port_of(&self.primary.postgres);
        self.primary = standby;
        self.start()
    }

    /// The host that it is on, and the homes.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Tries to write to it as a program on this host would; the error that it
    /// gets, if it gets one.
    pub fn try_write(&self, node: &Node) -> Result<Option<String>> {
        let sql = "CREATE TABLE IF NOT EXISTS written_by_a_test ()";
        Ok(run_in(node, &self.primary.postgres.ask_command(sql)?).err().map(|e| e.to_string()))
    }

    fn ask(&self, sql: &str) -> Result<String> {
        run_in(&self.node, &self.primary.postgres.ask_command(sql)?)
    }
}

impl Database {
    fn start(&mut self, node: &Node, log: &Path) -> Result<()> {
        let mut command = node.namespace().inside(&self.postgres.command()?);
        let mut process = Process::spawn("postgres", &mut command, log)?;
        let ready = self.postgres.ready_command()?;
        wait::until_true("the store answers", || {
            process.check()?;
            Ok(node.namespace().inside(&ready).output()?.status.success())
        })?;
        self.process = Some(process);
        Ok(())
    }
}

/// Runs a program on a host, and gives what it says; the error is what it says
/// if it fails.
fn run_in(node: &Node, command: &Command) -> Result<String> {
    let output = node.namespace().inside(command).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

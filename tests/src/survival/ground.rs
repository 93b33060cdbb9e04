//! Three server hosts, a store host, a DTU's place, and the program that is
//! typed into.

use crate::netns::Displays;
use crate::netns::lan::{Lan, Node, Segment};
use crate::postgres::Postgres;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::site::Site;
use crate::wait;
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

/// The server hosts.
pub const SERVERS: [&str; 3] = ["s1", "s2", "s3"];
/// Where all of them are.
pub const LAN: [Segment; 1] = [Segment::Bridge(0)];
/// The store host's address and port.
const STORE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 79, 0, 200), 5432);

/// A desktop of two terminals without a window manager: one whose picture
/// never stands still, and one that writes down each key that it gets.
const DESKTOP: &str = r#"
xterm -geometry 60x6+0+260 -e sh -c 'i=0; while sleep 0.02; do i=$((i+1)); printf "\r%s" $i; done' &
exec xterm -geometry 60x10+0+0 -e sh -c '
    stty -icanon -echo min 1
    echo $$ > "$HOME/pid.new"; mv "$HOME/pid.new" "$HOME/pid"
    exec cat >> "$HOME/typed"'
"#;

/// The hosts and what they share.
pub struct Ground {
    /// The server hosts.
    pub site: Site,
    /// The store, on a host of its own.
    pub store: Store,
}

/// PostgreSQL on a host of its own.
pub struct Store {
    postgres: Postgres,
    node: Arc<Node>,
    process: Option<Process>,
    log: PathBuf,
}

impl Ground {
    /// Everything runs, and the servers have heard each other.
    pub fn new(test: &str) -> Result<Self> {
        let scratch = Scratch::new(test)?;
        let script = scratch.path().join("desktop.sh");
        std::fs::write(&script, DESKTOP)?;
        let mut lan = Lan::new(1)?;
        let node = lan.plug(&[(LAN[0], STORE.0)], Displays::Shared)?;
        let postgres = Postgres::prepare(scratch.path(), &STORE.0.to_string(), STORE.1)?;
        let log = scratch.path().join("postgres.log");
        let mut store = Store { postgres, node, process: None, log };
        store.start()?;
        let url = store.postgres.url_at(&STORE.0.to_string(), STORE.1);
        let more = format!("store = \"{url}\"\nhost_every_ms = 300\ndown_after_ms = 3000\n");
        let desktop = ["sh", &*script.to_string_lossy()];
        let mut site = Site::prepare_apart(scratch, lan, &SERVERS, &LAN, &desktop, &more)?;
        for host in &mut site.hosts {
            host.start_server()?;
        }
        site.wait_acquainted()?;
        Ok(Ground { site, store })
    }

    /// What the program wrote into the user's home.
    pub fn received(&self) -> Result<Vec<u8>> {
        let path = self.site.home_file("typed")?;
        path.map_or(Ok(Vec::new()), |path| std::fs::read(path).context("what was typed"))
    }

    /// The program's process, once it runs.
    pub fn program(&self) -> Result<String> {
        wait::until("the program runs", wait::PATIENCE, || {
            let pid = self.site.home_file("pid")?.map(std::fs::read_to_string).transpose()?;
            Ok(pid.filter(|pid| pid.ends_with('\n')))
        })
    }
}

impl Store {
    /// Starts it, and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.node.namespace().inside(&self.postgres.command()?);
        let mut process = Process::spawn("postgres", &mut command, &self.log)?;
        let ready = self.postgres.ready_command()?;
        wait::until_true("the store answers", || {
            process.check()?;
            let output = self.node.namespace().inside(&ready).output()?;
            Ok(output.status.success())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// It is gone, without a word.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the store runs")?;
        process.kill();
        Ok(())
    }
}

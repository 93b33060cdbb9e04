//! What runs inside the reader's namespaces: pcscd with vpcd's driver, and
//! the card.

use super::card::InsertedCard;
use crate::{programs, wait};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DAEMON: &str = "usr/sbin/pcscd";
const DRIVER: &str = "usr/lib/pcsc/drivers/serial/libifdvpcd.so";
/// vpcd's port, as its Debian package configures it.
pub(super) const VPCD_PORT: u16 = 0x8c7b;

struct Inside {
    directory: PathBuf,
    /// Where Debian's files are: `/`, or where the set-up unpacked them.
    root: PathBuf,
    daemon: Option<Child>,
    card: Option<InsertedCard>,
}

/// Obeys the words on the standard input until it is closed.
pub fn obey(directory: &Path) -> Result<()> {
    let unpacked = programs::target()?.join("reader");
    let root = [PathBuf::from("/"), unpacked]
        .into_iter()
        .find(|root| root.join(DAEMON).exists() && root.join(DRIVER).exists())
        .context("pcscd and vpcd are missing: run 'tests/setup.sh test' first")?;
    prepare(directory, &root)?;
    let mut inside = Inside { directory: directory.to_owned(), root, daemon: None, card: None };
    for word in std::io::stdin().lock().lines() {
        let word = word?;
        if word == "end" {
            break;
        }
        let answer = match inside.obey(&word) {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{error:#}").replace('\n', " "),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The loopback interface, the daemon's directory and its configuration.
fn prepare(directory: &Path, root: &Path) -> Result<()> {
    let run_directory = crate::dtu::private(&directory.join("run"))?;
    let rc = crate::dtu::private(&directory.join("rc"))?;
    let driver = root.join(DRIVER);
    std::fs::write(
        rc.join("vpcd"),
        format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:0x{VPCD_PORT:X}\nLIBPATH {}\nCHANNELID 0x{VPCD_PORT:X}\n",
            driver.display()
        ),
    )?;
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
    std::fs::create_dir("/run/pcscd")?;
    run(Command::new("mount").arg("--bind").arg(run_directory).arg("/run/pcscd"))
}

fn run(command: &mut Command) -> Result<()> {
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {said}");
    Ok(())
}

impl Inside {
    fn obey(&mut self, word: &str) -> Result<()> {
        match word {
            "start" => self.start(),
            "kill" => {
                self.kill();
                Ok(())
            }
            "insert" => {
                ensure!(self.card.is_none(), "the card is in already");
                self.card = Some(InsertedCard::insert(&super::CARD_UID)?);
                Ok(())
            }
            "remove" => {
                self.card = None;
                Ok(())
            }
            other => bail!("{other:?} is not known"),
        }
    }

    fn start(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "pcscd runs already");
        // What a killed one left would keep the next one from starting.
        for stale in ["pcscd.comm", "pcscd.pid"] {
            let _ = std::fs::remove_file(self.directory.join("run").join(stale));
        }
        let mut command = Command::new(self.root.join(DAEMON));
        command.arg("--foreground").arg("--config").arg(self.directory.join("rc"));
        if self.knows_polkit(&command)? {
            command.arg("--disable-polkit");
        }
        if self.root != Path::new("/") {
            command.env("LD_LIBRARY_PATH", self.libraries()?);
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("pcscd.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut daemon = command.spawn().context("cannot start pcscd")?;
        let socket = self.directory.join("run/pcscd.comm");
        let listens = wait::until_true("pcscd listens", || {
            if let Some(status) = daemon.try_wait()? {
                bail!("pcscd ended ({status}), see its log");
            }
            Ok(UnixStream::connect(&socket).is_ok())
        });
        self.daemon = Some(daemon);
        listens
    }

    /// Newer ones ask polkit, which there is none of in here.
    fn knows_polkit(&self, command: &Command) -> Result<bool> {
        let mut help = Command::new(command.get_program());
        if self.root != Path::new("/") {
            help.env("LD_LIBRARY_PATH", self.libraries()?);
        }
        let help = help.arg("--help").output().context("cannot run pcscd")?;
        Ok(String::from_utf8_lossy(&help.stdout).contains("--disable-polkit"))
    }

    /// The directories of the unpacked libraries, as the loader wants them.
    fn libraries(&self) -> Result<String> {
        let mut directories = Vec::new();
        for parent in [self.root.join("usr/lib"), self.root.join("lib")] {
            let Ok(entries) = std::fs::read_dir(&parent) else { continue };
            let inner = entries.flatten().map(|entry| entry.path());
            directories.extend(inner.filter(|path| path.to_string_lossy().ends_with("-gnu")));
        }
        let directories: Vec<_> = directories.iter().map(|path| path.to_string_lossy()).collect();
        Ok(directories.join(":"))
    }

    fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // The card lies in the reader still, but its link is gone with vpcd.
        self.card = None;
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.kill();
    }
}

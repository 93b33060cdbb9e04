//! What the home says of the session: whether it can be worked in, and what
//! its user wants to be different. All of it is a notice at most.

use super::program::find_program;
use crate::config::own::{FILE, FILE_BYTES_MAX, Own};
use afterglow_wire::ids::Epoch;
use afterglow_wire::local::{CommandLine, SessionSpec};
use afterglow_wire::service::{ServiceName, ServiceSpec};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, StatVfsMountFlags};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// How long a home may take to answer: it may be on another host.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// What was found.
#[derive(Debug)]
pub struct Chosen {
    /// The description, with the user's choice in it.
    pub spec: SessionSpec,
    /// The configured desktop, if the user chose another.
    pub desktop_else: Option<CommandLine>,
    /// What the user should know; may be empty.
    pub notice: String,
}

/// Reads the home. The error, for the user, is that there is none.
pub async fn read(spec: &SessionSpec) -> Result<Chosen, String> {
    let home = spec.home_dir.clone();
    let looking = tokio::task::spawn_blocking(move || look(Path::new(&home)));
    let Ok(Ok(looked)) = tokio::time::timeout(ANSWERS_WITHIN, looking).await else {
        return Err(format!(
            "the home directory {} does not answer: the file system that it is on has to come \
             back first",
            spec.home_dir
        ));
    };
    let (own, mut notices) = looked?;
    let mut spec = spec.clone();
    let mut desktop_else = None;
    if let Some(words) = &own.desktop {
        match find_program(words.first().map_or("", String::as_str), &spec.home_dir) {
            Some(_) => {
                let chosen = CommandLine(words.clone());
                desktop_else = Some(std::mem::replace(&mut spec.desktop, chosen));
            }
            None => notices.push(format!(
                "the desktop {words:?} of your {FILE} cannot be found or run, so you have the \
                 usual one"
            )),
        }
    }
    let (mut services, said) = own.apply(&spec.services);
    notices.extend(said.into_iter().map(|text| format!("your {FILE}: {text}")));
    if spec.epoch != Epoch::FIRST {
        notices.extend(start_again(&mut services, &spec.ran));
    }
    spec.services = services.into_iter().collect();
    for notice in &notices {
        tracing::warn!("{notice}");
    }
    Ok(Chosen { spec, desktop_else, notice: notices.join(". ") })
}

/// Lets those run that ran before, whatever the user had started or stopped.
/// The notice names those that nobody describes any more.
fn start_again(services: &mut [ServiceSpec], ran: &[ServiceName]) -> Option<String> {
    for service in &mut *services {
        service.start = ran.contains(&service.name);
    }
    let known = |name: &&ServiceName| services.iter().any(|service| service.name == **name);
    let gone: Vec<_> = ran.iter().filter(|name| !known(name)).map(ServiceName::as_str).collect();
    (!gone.is_empty()).then(|| {
        let gone = gone.join(", ");
        format!("What ran before is no longer among your services and was not started: {gone}")
    })
}

fn look(home: &Path) -> Result<(Own, Vec<String>), String> {
    match home.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(format!("the home directory {} is no directory", home.display())),
        Err(error) => {
            return Err(format!("the home directory {} cannot be used: {error}", home.display()));
        }
    }
    let mut notices: Vec<String> = trouble_with(home).into_iter().collect();
    let own = own(home).unwrap_or_else(|text| {
        notices.push(format!("{text}; it is passed over"));
        Own::default()
    });
    Ok((own, notices))
}

/// Why nothing can be saved in the home, if so.
fn trouble_with(home: &Path) -> Option<String> {
    let place = rustix::fs::statvfs(home).ok()?;
    let read_only = place.f_flag.contains(StatVfsMountFlags::RDONLY);
    let access = rustix::fs::accessat(CWD, home, Access::WRITE_OK, AtFlags::EACCESS);
    if read_only || access.is_err() {
        return Some("Your home is read-only: what you do cannot be saved".into());
    }
    // Some file systems do not count what they have.
    (place.f_blocks > 0 && place.f_bavail == 0)
        .then(|| "The disk that your home is on is full: what you do cannot be saved".into())
}

fn own(home: &Path) -> Result<Own, String> {
    let path = home.join(FILE);
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Own::default()),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    Own::parse(&path, &text).map_err(|error| error.to_string())
}

/// Whatever lies there: a pipe is not waited for, and too much is not read.
fn read_file(path: &Path) -> std::io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        let text = format!("it is not a file of at most {FILE_BYTES_MAX} bytes");
        return Err(std::io::Error::other(text));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".config/afterglow")).unwrap();
        home
    }

    #[test]
    fn a_home_without_a_choice_or_with_a_bad_one_is_a_home() {
        let home = home();
        let file = home.path().join(FILE);
        assert_eq!(look(home.path()).unwrap(), (Own::default(), vec![]));
        for (content, expected) in [
            (&b"desktop = 1"[..], "session.toml:1: "),
            (b"\xff", "cannot be read"),
            (&vec![b' '; FILE_BYTES_MAX as usize + 1], "at most"),
        ] {
            std::fs::write(&file, content).unwrap();
            let (own, notices) = look(home.path()).unwrap();
            assert_eq!(own, Own::default());
            assert!(notices[0].contains(expected), "{notices:?}");
        }
        std::fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(look(home.path()).unwrap().1.len(), 1, "a pipe is no file");
    }

    #[test]
    fn a_home_that_is_not_there_or_no_directory_is_refused() {
        let home = home();
        let gone = look(&home.path().join("ada")).unwrap_err();
        assert!(gone.contains("/ada cannot be used"), "{gone}");
        std::fs::write(home.path().join("ada"), "").unwrap();
        let file = look(&home.path().join("ada")).unwrap_err();
        assert!(file.contains("is no directory"), "{file}");
    }
}

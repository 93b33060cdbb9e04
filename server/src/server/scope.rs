//! A scope per session where systemd runs the server: then nothing that
//! happens to the server's unit happens to a session, and the keeper may
//! freeze a part of what is its own.

use crate::keeper::cgroup;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long systemd has to answer, the first time it is asked.
const TRY_TIME: Duration = Duration::from_secs(5);

/// How sessions get a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// From the system's systemd.
    System,
    /// From that of the user that runs the server.
    User,
}

/// Whether sessions get a scope; found out once.
#[derive(Debug, Default)]
pub struct Scopes(OnceCell<Option<Manager>>);

impl Scopes {
    /// Finds it out, and says why not.
    pub async fn find_out(&self) {
        let found = self.0.get_or_init(|| async {
            let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            if !is_unit(&groups) {
                tracing::info!("systemd does not run this server: sessions get no scopes");
                return None;
            }
            let root = rustix::process::geteuid().is_root();
            let manager = if root { Manager::System } else { Manager::User };
            match try_out(manager).await {
                Ok(()) => Some(manager),
                Err(why) => {
                    tracing::warn!(
                        "sessions get no scopes of their own, and may end with the server's unit: \
                         {why}"
                    );
                    None
                }
            }
        });
        found.await;
    }

    /// What was found out.
    pub fn get(&self) -> Option<Manager> {
        self.0.get().copied().flatten()
    }
}

/// True if the server is a unit of systemd, by the text of
/// `/proc/self/cgroup`. The environment says nothing: what is started in a
/// terminal inherits what the desktop's unit was told.
fn is_unit(groups: &str) -> bool {
    // By the unified hierarchy, or by systemd's own among the older ones.
    let paths = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (kind, path) = rest.split_once(':')?;
        (kind.is_empty() || kind == "name=systemd").then_some(path)
    });
    paths.into_iter().any(|path| path.ends_with(".service"))
}

/// Has systemd run something that does nothing.
async fn try_out(manager: Manager) -> Result<(), String> {
    let words = run(manager, &["--scope", "--quiet", "--collect", "--", "true"]);
    let mut command = tokio::process::Command::new(&words[0]);
    command.args(&words[1..]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(TRY_TIME, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default().trim();
            Err(format!("systemd-run: {}: {said}", output.status))
        }
        Ok(Err(error)) => Err(format!("systemd-run: {error}")),
        Err(_) => Err(format!("systemd-run: no answer within {TRY_TIME:?}")),
    }
}

/// The command line of a keeper for the session in the directory of this name.
/// The process becomes the keeper itself, with the pipes that it is given.
pub fn command(manager: Option<Manager>, dir_name: &str, program: &Path) -> Vec<OsString> {
    let keeper = [program.as_os_str().to_owned(), "keeper".into()];
    let Some(manager) = manager else { return keeper.to_vec() };
    let unit = format!("--unit={}", cgroup::scope_name(dir_name));
    let mut words =
        run(manager, &["--scope", "--quiet", "--collect", &unit, "--property=Delegate=yes", "--"]);
    words.extend(keeper);
    words
}

fn run(manager: Manager, arguments: &[&str]) -> Vec<OsString> {
    let user = (manager == Manager::User).then_some("--user");
    ["systemd-run"]
        .into_iter()
        .chain(user)
        .chain(arguments.iter().copied())
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(manager: Option<Manager>) -> String {
        let words = command(manager, "0123456789abcdef", Path::new("/usr/lib/afterglow-session"));
        words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn without_systemd_the_keeper_is_started_as_it_is() {
        assert_eq!(line(None), "/usr/lib/afterglow-session keeper");
    }

    #[test]
    fn with_systemd_it_gets_a_scope_that_it_may_freeze_parts_of() {
        let scope = "--scope --quiet --collect --unit=afterglow-session-0123456789abcdef.scope \
                     --property=Delegate=yes -- /usr/lib/afterglow-session keeper";
        assert_eq!(line(Some(Manager::System)), format!("systemd-run {scope}"));
        assert_eq!(line(Some(Manager::User)), format!("systemd-run --user {scope}"));
    }

    #[test]
    fn a_server_in_a_service_is_a_unit_and_one_from_a_terminal_is_not() {
        let unit = "0::/system.slice/afterglow-server.service\n";
        let hybrid = "4:memory:/x\n1:name=systemd:/system.slice/afterglow-server.service\n0::/\n";
        assert!(is_unit(unit) && is_unit(hybrid));
        let session = "0::/user.slice/user-1000.slice/session-2.scope\n";
        let terminal = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/\
                        app-org.gnome.Terminal.slice/vte-spawn-1.scope\n";
        assert!(!is_unit(session) && !is_unit(terminal));
        assert!(!is_unit("4:memory:/a.service\n0::/\n"));
        assert!(!is_unit("garbage\n"));
    }
}

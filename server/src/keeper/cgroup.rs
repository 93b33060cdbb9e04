//! Where the session's control group is, if it has one of its own.
//!
//! A server that systemd runs gives each session a scope of its own, and
//! leaves what is in it to the keeper. Where it does not, nothing may be done
//! to the group: it is somebody else's.

use super::session_dir;
use std::path::{Path, PathBuf};

/// The programs' part of the group.
const PROGRAMS: &str = "programs";

/// What a session's scope is called.
pub fn scope_name(dir_name: &str) -> String {
    format!("afterglow-session-{dir_name}.scope")
}

/// The control group of the session in this directory, if the keeper has one
/// of its own that can be frozen in parts.
pub fn own(dir: &Path) -> Option<PathBuf> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let (groups, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
    let group = find(&groups, &mounts)?;
    let own = group.file_name()?.to_str()? == scope_name(&session_dir::mark(dir));
    (own && group.join("cgroup.procs").exists()).then_some(group)
}

/// The part of a session's group that its programs are put into, made if need
/// be.
pub fn programs(group: &Path) -> std::io::Result<PathBuf> {
    let programs = group.join(PROGRAMS);
    match std::fs::create_dir(&programs) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ if programs.join("cgroup.freeze").exists() => Ok(programs),
        _ => Err(std::io::Error::other("the kernel cannot freeze it")),
    }
}

/// Removes the programs' part at the session's end, if there is one. systemd
/// removes the rest.
pub fn leave(dir: &Path) {
    if let Some(group) = own(dir) {
        // There is none unless the session was frozen.
        let _ = std::fs::remove_dir(group.join(PROGRAMS));
    }
}

/// Where the unified hierarchy (cgroup v2) has the process, by the texts of
/// `/proc/self/cgroup` and `/proc/self/mountinfo`. Beside the older
/// hierarchies it is mounted in a place of its own (`/sys/fs/cgroup/unified`).
fn find(groups: &str, mountinfo: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mountinfo.lines().find_map(|line| {
        // … root place options [optional …] - type source options
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        let place = PathBuf::from(place.replace("\\040", " "));
        Some(if below.as_os_str().is_empty() { place } else { place.join(below) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "24 1 0:22 / /proc rw - proc proc rw\n\
                           31 24 0:29 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_group_is_found_wherever_the_hierarchy_is_mounted() {
        let scope = "0::/system.slice/afterglow-session-aa.scope\n";
        let group = |groups: &str, mounts: &str| {
            find(groups, mounts).map(|path| path.display().to_string())
        };
        let below = "system.slice/afterglow-session-aa.scope";
        assert_eq!(group(scope, UNIFIED).unwrap(), format!("/sys/fs/cgroup/{below}"));
        let hybrid = format!("9:name=systemd:/x\n4:memory:/y\n{scope}");
        assert_eq!(group(&hybrid, HYBRID).unwrap(), format!("/sys/fs/cgroup/unified/{below}"));
        assert_eq!(group("0::/\n", HYBRID).unwrap(), "/sys/fs/cgroup/unified");
        // A container sees a part of the hierarchy.
        let part = "41 31 0:38 /system.slice /cg\\0402 rw - cgroup2 cgroup2 rw\n";
        assert_eq!(group(scope, part).unwrap(), "/cg 2/afterglow-session-aa.scope");
    }

    #[test]
    fn without_the_unified_hierarchy_there_is_none() {
        assert_eq!(find("4:memory:/x\n", UNIFIED), None);
        assert_eq!(
            find("0::/x\n", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n"),
            None
        );
        assert_eq!(find("0::/x\n", "41 31 0:38 /y /cg rw - cgroup2 cgroup2 rw\n"), None);
        assert_eq!(find("", "garbage\n - cgroup2\n"), None);
    }

    #[test]
    fn a_group_that_is_not_the_sessions_own_is_left_alone() {
        assert_eq!(own(Path::new("/run/sessions/0001ab03040506ff")), None);
    }
}

//! A service on another host, with its windows in the session (the patent's
//! figure 5): the command line of `ssh` that runs it there. No I/O.

use std::path::{Path, PathBuf};

/// The program.
pub const PROGRAM: &str = "ssh";
/// The status by which ssh says that the fault is its own.
pub const OWN_FAILURE: i32 = 255;

/// Nobody can be asked for a password; a service without its windows, or whose
/// host has gone, is no use; and it may open windows for as long as it runs,
/// not only in the first 20 minutes.
const OPTIONS: [&str; 6] = [
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    "ForwardX11Timeout=0",
    "ConnectTimeout=10",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
];
/// The keys that ssh looks for by itself.
const KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// The command that runs these words on a host. `ssh` looks into the home of
/// its Unix user, not into `$HOME`; so what this home has (`has`) is named.
pub fn command(
    host: &str,
    words: &[String],
    home: &Path,
    has: impl Fn(&Path) -> bool,
) -> Vec<String> {
    let own = home.join(".ssh");
    let path = |name: &str| -> PathBuf { own.join(name) };
    let mut command = vec![PROGRAM.to_owned(), "-X".into()];
    if has(&path("config")) {
        command.extend(["-F".into(), path("config").display().to_string()]);
    }
    let mut option = |text: String| command.extend(["-o".into(), text]);
    OPTIONS.iter().for_each(|text| option((*text).into()));
    if has(&path("known_hosts")) {
        option(format!("UserKnownHostsFile={}", quote_option(&path("known_hosts"))));
    }
    for key in KEYS.iter().map(|key| path(key)).filter(|key| has(key)) {
        option(format!("IdentityFile={}", quote_option(&key)));
    }
    command.extend(["--".into(), host.into()]);
    // The other side gives one text to a shell.
    command.extend(words.iter().map(|word| quote(word)));
    command
}

/// As a shell takes it for one word.
fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./=:,@+".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// As ssh takes it for one value: percent signs stand for something else.
fn quote_option(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str], has: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let has = |path: &Path| has.iter().any(|name| path == Path::new("/h o/.ssh").join(name));
        command("ada@big", &words, Path::new("/h o"), has)
    }

    #[test]
    fn nobody_is_asked_and_a_window_that_cannot_be_shown_is_a_failure() {
        let said = of(&["xterm"], &[]).join(" ");
        assert!(said.starts_with("ssh -X -o BatchMode=yes -o ExitOnForwardFailure=yes "), "{said}");
        assert!(said.ends_with(" -- ada@big xterm"), "{said}");
        assert!(!said.contains(".ssh"), "{said}");
    }

    #[test]
    fn the_users_own_keys_and_hosts_are_named() {
        let said = of(&["xterm"], &["config", "known_hosts", "id_rsa"]);
        assert_eq!(said[2..4], ["-F", "/h o/.ssh/config"]);
        let said = said.join("|");
        assert!(said.contains("|UserKnownHostsFile=\"/h o/.ssh/known_hosts\"|"), "{said}");
        assert!(said.contains("|IdentityFile=\"/h o/.ssh/id_rsa\"|"), "{said}");
    }

    #[test]
    fn words_stay_words_on_the_other_side() {
        let said = of(&["sh", "-c", "echo $HOME; it's", "", "a=b"], &[]);
        assert_eq!(said[said.len() - 5..], ["sh", "-c", r"'echo $HOME; it'\''s'", "''", "a=b"]);
    }
}

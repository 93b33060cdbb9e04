//! What the values of single keys mean. The errors are for the person who wrote
//! them.

use super::{DatabaseUrl, Network, PeerAddress, Policy, StoreLocation};
use afterglow_wire::limits::{COMMAND_WORDS_MAX, SERVERS_MAX, TEXT_BYTES_MAX};
use afterglow_wire::quality::Quality;
use std::net::Ipv4Addr;
use std::path::Path;

pub(super) fn between(min: u64, max: u64) -> impl FnOnce(u64) -> Result<u64, String> {
    move |value| match value {
        v if v < min || v > max => Err(format!("{v} is not between {min} and {max}")),
        v => Ok(v),
    }
}

pub(super) fn ipv4(text: String) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IPv4 address such as 192.168.1.5"))
}

pub(super) fn interfaces(names: Vec<String>) -> Result<Option<Vec<String>>, String> {
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err("a list of interface names such as [\"eth0\"] is wanted".into());
    }
    Ok(Some(names))
}

pub(super) fn peers(list: Vec<String>) -> Result<Vec<PeerAddress>, String> {
    if list.len() > SERVERS_MAX {
        return Err(format!("{} peers are more than {SERVERS_MAX}", list.len()));
    }
    let parse = |text: &String| {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| PeerAddress { host: host.to_owned(), port })
    };
    list.iter()
        .map(|text| {
            parse(text).ok_or(format!("{text:?} is not HOST:GROUP_PORT, such as host05:7009"))
        })
        .collect()
}

pub(super) fn networks(list: Vec<String>) -> Result<Vec<Network>, String> {
    if list.len() > 64 {
        return Err(format!("{} networks are more than 64", list.len()));
    }
    list.iter()
        .map(|text| {
            Network::parse(text).ok_or(format!("{text:?} is not a network such as 10.1.0.0/16"))
        })
        .collect()
}

pub(super) fn port_range(text: String) -> Result<(u16, u16), String> {
    text.split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)))
        .filter(|(first, last)| 0 < *first && first <= last)
        .ok_or(format!("{text:?} is not a range of ports such as \"7100-7999\""))
}

pub(super) fn store(base: &Path, text: &str) -> Result<StoreLocation, String> {
    match text.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => Ok(StoreLocation::Sqlite(base.join(path))),
        Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
            Ok(StoreLocation::Postgres(DatabaseUrl(text.to_owned())))
        }
        // What was written may hold a password: it is not repeated.
        _ => Err("a store such as \"sqlite:///var/lib/afterglow/store.db\" or \
                  \"postgres://afterglow@db.example/afterglow\" is wanted"
            .into()),
    }
}

/// A command line that is not empty.
pub(super) fn desktop(words: Vec<String>) -> Result<Vec<String>, String> {
    match words.first() {
        Some(program) if !program.is_empty() => {}
        _ => return Err("a command line such as [\"openbox\"] is wanted".into()),
    }
    if words.len() > COMMAND_WORDS_MAX {
        return Err(format!("{} words are more than {COMMAND_WORDS_MAX}", words.len()));
    }
    match words.iter().find(|word| word.len() > TEXT_BYTES_MAX) {
        Some(word) => Err(format!(
            "a word of {} bytes is longer than {TEXT_BYTES_MAX}; put it into a script",
            word.len()
        )),
        None => Ok(words),
    }
}

pub(super) fn quality(text: String) -> Result<Quality, String> {
    [Quality::Lossless, Quality::Auto]
        .into_iter()
        .find(|quality| quality.name() == text)
        .ok_or(format!("{text:?} is not a quality; there are \"lossless\" and \"auto\""))
}

pub(super) fn policy(text: String) -> Result<Policy, String> {
    match text.as_str() {
        "open" => Ok(Policy::Open),
        _ => Err(format!("{text:?} is not a policy; there is \"open\"")),
    }
}

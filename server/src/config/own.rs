//! A user's own configuration of the session: `session.toml` in the home.
//!
//! ```toml
//! desktop = ["startxfce4"]
//! required = ["mail"]
//!
//! [[service]]
//! name = "sync"
//! command = ["syncthing", "--no-browser"]
//! start = true
//! ```
//!
//! What is wrong with it never keeps a session from starting.

use super::services::{self, ServiceTable};
use super::{ConfigError, Source, desktop};
use afterglow_wire::limits::SERVICES_MAX;
use afterglow_wire::service::{ServiceName, ServiceSpec};
use serde::Deserialize;
use std::path::Path;
use toml::Spanned;

/// Where it is in a home.
pub const FILE: &str = ".config/afterglow/session.toml";
/// The longest such file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a user wants to be different.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// The desktop, if it is to be another.
    pub desktop: Option<Vec<String>>,
    /// Services that have to run.
    pub required: Vec<ServiceName>,
    /// Services of the user's own.
    pub services: Vec<ServiceSpec>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    desktop: Option<Spanned<Vec<String>>>,
    required: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    service: Vec<Spanned<ServiceTable>>,
}

impl Own {
    /// Checks the text of the file at this path.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let file: File = toml::from_str(text).map_err(|e| {
            source.error(e.span().map_or(0, |span| span.start), None, e.message().to_owned())
        })?;
        Ok(Own {
            desktop: source.value("desktop", file.desktop, None, |v| desktop(v).map(Some))?,
            required: source.value("required", file.required, Vec::new(), names)?,
            services: services::catalogue(&source, file.service)?,
        })
    }

    /// What runs in the session of this user: the server's catalogue with the
    /// user's own services, of which one replaces the server's of the same
    /// name, unless that is required. The notices are for the user.
    pub fn apply(self, catalogue: &[ServiceSpec]) -> (Vec<ServiceSpec>, Vec<String>) {
        let (mut all, mut notices) = (catalogue.to_vec(), Vec::new());
        for own in self.services {
            let name = own.name.clone();
            let mut with = all.clone();
            match with.iter_mut().find(|service| service.name == name) {
                Some(theirs) if theirs.required => {
                    notices.push(format!("the service {name} is the server's and has to run"));
                    continue;
                }
                Some(theirs) => *theirs = own,
                None => with.push(own),
            }
            match services::fits(&with) {
                true => all = with,
                false => notices.push(format!("there is no room for the service {name}")),
            }
        }
        for name in self.required {
            match all.iter_mut().find(|service| service.name == name) {
                Some(service) => service.required = true,
                None => notices.push(format!("the required service {name} is not there")),
            }
        }
        (all, notices)
    }
}

fn names(list: Vec<String>) -> Result<Vec<ServiceName>, String> {
    if list.len() > SERVICES_MAX {
        return Err(format!("{} names are more than {SERVICES_MAX}", list.len()));
    }
    list.iter().map(|name| name.parse().map_err(|error| format!("{error}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Own, String> {
        Own::parse(Path::new("/home/ada/s.toml"), text).map_err(|error| error.to_string())
    }

    fn service(name: &str, more: &str) -> String {
        format!("[[service]]\nname=\"{name}\"\ncommand=[\"{name}-program\"]\n{more}\n")
    }

    #[test]
    fn an_empty_file_changes_nothing_and_a_bad_one_names_its_line() {
        assert_eq!(parse(""), Ok(Own::default()));
        for (text, expected) in [
            ("desktop = []", ":1: desktop: a command line"),
            ("\nrequired = [\"A B\"]", ":2: required: "),
            ("colour = 1", "colour"),
            ("[[service]]\nname=\"x\"", "command"),
            ("desktop = [", "/home/ada/s.toml:1: "),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(expected), "{said:?} has no {expected:?}");
        }
    }

    #[test]
    fn own_services_come_to_the_catalogue_and_replace_what_is_not_required() {
        let theirs = service("a", "required=true") + &service("b", "start=true");
        let theirs = parse(&theirs).unwrap().services;
        let own = service("a", "") + &service("b", "host=\"big\"") + &service("c", "");
        let own = parse(&format!("required=[\"c\", \"d\"]\n{own}")).unwrap();
        let (all, notices) = own.apply(&theirs);
        let all: Vec<_> =
            all.iter().map(|s| (s.name.as_str(), s.required, s.start, s.host.as_str())).collect();
        assert_eq!(
            all,
            [("a", true, false, ""), ("b", false, false, "big"), ("c", true, false, "")]
        );
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert!(
            notices[0].contains("a is the server's") && notices[1].contains("required service d")
        );
    }

    #[test]
    fn there_are_never_more_services_than_a_status_can_tell_of() {
        let many = |prefix: &str| -> Vec<ServiceSpec> {
            let text: String =
                (0..SERVICES_MAX).map(|n| service(&format!("{prefix}{n}"), "")).collect();
            parse(&text).unwrap().services
        };
        let own = Own { services: many("own"), ..Own::default() };
        let (all, notices) = own.apply(&many("theirs"));
        assert_eq!((all.len(), notices.len()), (SERVICES_MAX, SERVICES_MAX));
    }
}

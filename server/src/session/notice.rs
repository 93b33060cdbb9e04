//! What a user is told about a session that is not as it was left.

use crate::store::SessionRow;
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::TEXT_BYTES_MAX;
use afterglow_wire::service::ServiceName;
use std::fmt::Write as _;

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Notice {
    /// Nothing.
    #[default]
    None,
    /// The session's services were started again; its row as it was before.
    Restarted(Box<SessionRow>),
    /// The session that the DTU had cannot be had: this is another one.
    Replaced {
        /// The server that was in charge of the one that it had.
        by: ServerName,
        /// True if this one is new.
        new: bool,
    },
}

/// What is known around it.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The server that speaks.
    pub me: &'a ServerName,
    /// Its calendar, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The services that are started again.
    pub resumed: &'a [ServiceName],
    /// False if the home folder here is known to be another one.
    pub home_is_shared: bool,
}

impl Notice {
    /// In words; empty if there is nothing to tell.
    pub fn words(&self, around: Around<'_>) -> String {
        let text = match self {
            Notice::None => String::new(),
            Notice::Replaced { by, new: true } => format!(
                "{by} was lost, and nothing that this group stores knows your session there: this \
                 is a new one. Files that were only on {by} are not here."
            ),
            Notice::Replaced { by, new: false } => format!(
                "The session that you had with {by} is over or cannot be found: this is another \
                 one of yours."
            ),
            Notice::Restarted(row) => restarted(row, around),
        };
        shortened(text)
    }
}

fn restarted(row: &SessionRow, around: Around<'_>) -> String {
    let Around { me, wall_ms, resumed, home_is_shared } = around;
    let mut text = match row.owner == *me {
        true => format!("Your programs on {me} had stopped and were started again"),
        false => format!("{} was lost. Your programs were started again on {me}", row.owner),
    };
    let names = |services: &[ServiceName]| {
        services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
    };
    match resumed.is_empty() {
        true => text.push_str(": the desktop"),
        false => {
            let _ = write!(text, ": the desktop, {}", names(resumed));
        }
    }
    let age = words_of_age(wall_ms.saturating_sub(row.changed_ms));
    let _ = write!(text, ", as they were {age} ago. What was not saved is lost.");
    let gone = |name: &&ServiceName| !resumed.contains(name);
    let missing: Vec<_> = row.services.iter().filter(gone).cloned().collect();
    if !missing.is_empty() {
        let _ = write!(text, " Not started: {}, which {me} does not offer.", names(&missing));
    }
    if !home_is_shared {
        let _ = write!(
            text,
            " The home folder on {me} is not that of {}: tell the administrator.",
            row.owner
        );
    }
    text
}

fn words_of_age(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Within what a message may hold.
pub fn shortened(mut text: String) -> String {
    while text.len() > TEXT_BYTES_MAX {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::ids::{Epoch, SessionId, Size};

    fn row() -> SessionRow {
        SessionRow {
            id: SessionId([1; 16]),
            token: "soft.ada".parse().expect("a token"),
            owner: "mud".parse().expect("a name"),
            endpoint: None,
            epoch: Epoch(1),
            connection: 1,
            home: "/home/ada".into(),
            desktop: Vec::new(),
            size: Size::new(640, 480).expect("a size"),
            name: String::new(),
            services: vec![service("mail"), service("chart")],
            wish: None,
            created_ms: 0,
            changed_ms: 60_000,
            ended: false,
        }
    }

    fn service(name: &str) -> ServiceName {
        name.parse().expect("a name")
    }

    fn words(me: &str, home_is_shared: bool) -> String {
        let (me, resumed) = (me.parse().expect("a name"), [service("mail")]);
        let around = Around { me: &me, wall_ms: 360_000, resumed: &resumed, home_is_shared };
        Notice::Restarted(Box::new(row())).words(around)
    }

    #[test]
    fn a_take_over_says_what_was_resumed_from_when_and_what_could_not_be() {
        assert_eq!(
            words("host05", true),
            "mud was lost. Your programs were started again on host05: the desktop, mail, as they \
             were 5 min ago. What was not saved is lost. Not started: chart, which host05 does not \
             offer."
        );
        assert!(words("mud", true).starts_with("Your programs on mud had stopped and were"));
        assert!(words("host05", false).contains("home folder on host05 is not that of mud"));
    }

    #[test]
    fn words_fit_into_a_message() {
        let long = shortened("ä".repeat(TEXT_BYTES_MAX));
        assert_eq!(long.len(), TEXT_BYTES_MAX);
    }
}

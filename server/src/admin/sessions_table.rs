//! Sessions, services and users as tables.

use super::sessions::{ServiceInfo, SessionInfo, SessionsReport, State, UserInfo};
use std::fmt::Write as _;

/// So many digits of an id are printed, which are enough to name it.
const ID_DIGITS: usize = 8;

/// A line for each session.
pub fn sessions(report: &SessionsReport) -> String {
    let rows = report.sessions.iter().map(|session| {
        vec![
            short(&session.session).to_owned(),
            format!("epoch {}", session.epoch),
            session.server.clone(),
            state(session),
            age(session.age_ms),
            session.token.clone(),
            session.name.escape_debug().to_string(),
        ]
    });
    let mut text = aligned(rows.collect());
    if report.sessions.is_empty() {
        text.push_str("no sessions\n");
    }
    if !report.trouble.is_empty() {
        let _ = writeln!(text, "{}", report.trouble);
    }
    text
}

/// All about one session.
pub fn session(session: &SessionInfo) -> String {
    let lines = [
        ("session", session.session.clone()),
        ("epoch", session.epoch.to_string()),
        ("name", session.name.escape_debug().to_string()),
        ("token", session.token.clone()),
        ("server", session.server.clone()),
        ("state", state(session)),
        ("age", age(session.age_ms)),
        ("endpoint", session.endpoint.clone().unwrap_or_default()),
        ("trouble", session.trouble.escape_debug().to_string()),
    ];
    let rows = lines.into_iter().filter(|(_, value)| !value.is_empty());
    let mut text = aligned(rows.map(|(key, value)| vec![key.to_owned(), value]).collect());
    text.push_str(&services(&session.services));
    text
}

/// A line for each service.
pub fn services(services: &[ServiceInfo]) -> String {
    let rows = services.iter().map(|service| {
        let place = match service.host.as_str() {
            "" => String::new(),
            host => format!("on {host}"),
        };
        let required = if service.required { "required" } else { "" };
        vec![
            format!("service {}", service.name),
            service.state.clone(),
            required.to_owned(),
            place,
            service.text.escape_debug().to_string(),
        ]
    });
    aligned(rows.collect())
}

/// A line for each user.
pub fn users(users: &[UserInfo]) -> String {
    let rows = users.iter().map(|user| {
        let own = |key: &str, value: Option<String>| match value {
            Some(value) => format!("{key}={}", value.escape_debug()),
            None => String::new(),
        };
        let list = |value: &Option<Vec<String>>, between: &str| {
            value.as_ref().map(|words| words.join(between))
        };
        vec![
            user.name.escape_debug().to_string(),
            own("account", user.account.clone()),
            own("home", user.home.clone()),
            own("desktop", list(&user.desktop, " ")),
            own("catalogue", list(&user.catalogue, ",")),
            own("required", list(&user.required, ",")),
            own("size", user.size.clone()),
            own("tokens", (!user.tokens.is_empty()).then(|| user.tokens.join(","))),
        ]
    });
    aligned(rows.collect())
}

/// Who is still there, on a server that takes leave.
pub fn waiting(session: &SessionInfo) -> String {
    let on = match &session.shown_on {
        Some(dtu) => format!("shown on desktop unit {}", short(dtu)),
        None => "shown nowhere".to_owned(),
    };
    let name = match session.name.as_str() {
        "" => String::new(),
        name => format!(" \"{}\"", name.escape_debug()),
    };
    let (id, token, age) = (short(&session.session), &session.token, age(session.age_ms));
    format!("waits for session {id}{name} of {token}, {age} old, {on}")
}

fn state(session: &SessionInfo) -> String {
    let words = match session.state {
        State::Running => "running",
        State::Starting => "starting",
        State::Lost => "lost",
        State::OlderCopy => "earlier-copy",
    };
    match &session.shown_on {
        Some(dtu) => format!("{words} on {}", short(dtu)),
        None => words.to_owned(),
    }
}

fn short(id: &str) -> &str {
    id.get(..ID_DIGITS).unwrap_or(id)
}

fn age(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Columns two spaces apart, each as wide as its widest cell; those that are
/// empty everywhere are left out.
fn aligned(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let line: Vec<String> =
            cells.map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(server: &str, state: State, shown_on: Option<&str>) -> SessionInfo {
        SessionInfo {
            session: "ab".repeat(16),
            epoch: 2,
            token: "soft.#1".into(),
            name: "work".into(),
            server: server.into(),
            state,
            age_ms: 180_000,
            endpoint: Some("10.0.0.1:7100".into()),
            shown_on: shown_on.map(str::to_owned),
            services: Vec::new(),
            trouble: String::new(),
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_session_and_says_why_some_are_missing() {
        let mut report = SessionsReport {
            server: "mud".into(),
            sessions: vec![
                info("mud", State::Running, Some("0123456789")),
                info("host05", State::OlderCopy, None),
            ],
            trouble: "the store is away".into(),
        };
        assert_eq!(
            sessions(&report),
            "abababab  epoch 2  mud     running on 01234567  3 min  soft.#1  work\n\
             abababab  epoch 2  host05  earlier-copy         3 min  soft.#1  work\n\
             the store is away\n"
        );
        report.sessions.clear();
        report.trouble.clear();
        assert_eq!(sessions(&report), "no sessions\n");
    }

    #[test]
    fn a_server_that_takes_leave_says_for_whom_it_waits() {
        assert_eq!(
            waiting(&info("mud", State::Running, Some("0123456789"))),
            "waits for session abababab \"work\" of soft.#1, 3 min old, shown on desktop unit \
             01234567"
        );
    }

    #[test]
    fn one_session_and_its_services_are_told_whole() {
        let mut one = info("mud", State::Lost, None);
        one.services = vec![ServiceInfo {
            name: "mail".into(),
            state: "failed".into(),
            required: true,
            host: "ada@big".into(),
            text: "no\nway".into(),
        }];
        let text = session(&one);
        assert!(text.contains(&format!("session   {}\n", "ab".repeat(16))), "{text}");
        assert!(text.ends_with("service mail  failed  required  on ada@big  no\\nway\n"), "{text}");
    }
}

//! What a DTU's events mean, in words for whoever watches.

use crate::events::Event;

/// A sentence about this event, if it is worth one.
pub fn of(event: &Event) -> Option<String> {
    let text = |field: &str| event.text(field).unwrap_or("?").to_owned();
    Some(match event.name.as_str() {
        "connected" => format!("is connected to {}", text("server")),
        "inserted" if event.text("cause") == Some("insert") => {
            format!("tells {} that the card is in", text("server"))
        }
        "attached" => {
            let epoch = event.number("epoch").unwrap_or(0);
            format!("shows the session on {} (epoch {epoch}, {})", text("host"), text("origin"))
        }
        "first_frame" => "has the first frame on its screen".to_owned(),
        "detached" => format!("does not show the session any more: {}", text("reason")),
        "removed" => "is blank: the card is out".to_owned(),
        "server_lost" => format!(
            "has not heard {} for {} ms; the picture {}",
            text("server"),
            event.number("silent_ms").unwrap_or(0),
            match event.fields.get("display_alive").and_then(serde_json::Value::as_bool) {
                Some(true) => "goes on",
                _ => "stands",
            }
        ),
        "redirected" => format!("is sent from {} to {}", text("from"), text("to")),
        "resumed" => format!("is in the care of {}, and its picture goes on", text("server")),
        "taken_over" => {
            let epoch = event.number("epoch").unwrap_or(0);
            format!("learns that {} started the programs again (epoch {epoch})", text("on"))
        }
        "refused" => format!("is refused by {}: {}", text("server"), text("text")),
        "session_ended" => format!("learns that the session is over: {}", text("text")),
        "closed" => "is closed".to_owned(),
        _ => return None,
    })
}

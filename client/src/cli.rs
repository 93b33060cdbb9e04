//! The command line of `afterglow`.

use crate::render::placement::Scale;
use crate::token::Choice;
use crate::window::present::Renderer;
use afterglow_wire::ids::{GroupId, InvalidName, Keymap, Size};
use clap::Parser;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port on which servers take DTUs unless another one is named.
pub const CONTROL_PORT: u16 = 7010;

/// The desktop unit of Afterglow: a window onto the session that belongs to
/// whoever's card is in.
#[derive(Debug, Clone, Parser)]
#[command(name = "afterglow", version, max_term_width = 100)]
pub struct Cli {
    /// A server to connect to; may be given several times. Without it, and when
    /// none of them can be reached, servers are searched for: in the site's
    /// DNS (SRV record _afterglow._udp), in the DHCP lease (option 224), on the
    /// local network.
    #[arg(long = "server", value_name = "HOST[:PORT]")]
    pub servers: Vec<ServerAddress>,

    /// The port of the servers' group messages, where the local network is
    /// asked for servers and listened to.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = afterglow_wire::group::PORT,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub group_port: u16,

    /// Where the token comes from: a smart card, this DTU's own key, or a card
    /// in software that Ctrl+Alt+Shift+C inserts and removes.
    #[arg(
        long,
        value_name = "card|pseudo|soft:NAME",
        default_value = "card",
        value_parser = parse_token
    )]
    pub token: Choice,

    /// The card reader to use, if there are several: its name, or a part of it.
    #[arg(long, value_name = "NAME")]
    pub reader: Option<String>,

    /// The window's size when it opens.
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,

    /// Open without borders, as large as the screen (Ctrl+Alt+Shift+F
    /// switches).
    #[arg(long)]
    pub fullscreen: bool,

    /// Turn the screen off when nobody used keys, pointer or card for so long,
    /// as long as the window fills the screen; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub dark_after: u32,

    /// Who draws. All of them show the same pixels.
    #[arg(long, value_enum, default_value_t)]
    pub renderer: Renderer,

    /// What is done about a picture that has not the window's size, such as
    /// one of a session that allows none so large.
    #[arg(long, value_enum, default_value_t)]
    pub scale: Scale,

    /// The keyboard's layout, such as us or de(nodeadkeys); detected if not
    /// given.
    #[arg(long, value_name = "LAYOUT")]
    pub keymap: Option<Keymap>,

    /// The fingerprint of the only group to trust. Without it, the first group
    /// that is met is shown, and remembered once it is confirmed.
    #[arg(long, value_name = "FINGERPRINT", value_parser = parse_group)]
    pub group: Option<GroupId>,

    /// Where this DTU keeps its key and the groups it trusts; one directory
    /// for each window [default: $XDG_STATE_HOME/afterglow, or
    /// ~/.local/state/afterglow].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Write what happens, one JSON object a line, to this file; - is the
    /// standard output.
    #[arg(long, value_name = "FILE|-")]
    pub event_log: Option<String>,

    /// A test's aid: before a picture is compared with the session's for the
    /// first time, make the pixel in its upper left corner another, as a
    /// renderer that draws wrongly would. It has to be found and repaired.
    #[arg(long, hide = true)]
    pub spoil_pixel: bool,

    /// On SIGUSR1, write what the window shows to this PNG file.
    #[arg(long, value_name = "FILE")]
    pub screenshot: Option<PathBuf>,
}

/// A server named on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// A name or an IPv4 address.
    pub host: String,
    /// Its control port.
    pub port: u16,
}

impl FromStr for ServerAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => {
                let port =
                    port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                        format!("{port:?} is not a port: a number from 1 to 65535")
                    })?;
                (host, port)
            }
            None => (text, CONTROL_PORT),
        };
        let fits = (1..=253).contains(&host.len())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !fits {
            return Err(format!("{host:?} is neither a host name nor an IPv4 address"));
        }
        Ok(ServerAddress { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The error names what may be given, which the token's own does not.
fn parse_token(text: &str) -> Result<Choice, String> {
    match text {
        "card" | "pseudo" => text.parse().map_err(|error: InvalidName| error.to_string()),
        _ if text.starts_with("soft:") => {
            text.parse().map_err(|error: InvalidName| error.to_string())
        }
        _ => Err("it is one of card, pseudo and soft:NAME".to_owned()),
    }
}

/// A fingerprint as the OSD shows it: upper case, spaces and colons between
/// the digits are fine.
fn parse_group(text: &str) -> Result<GroupId, InvalidName> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    digits.to_ascii_lowercase().parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"afterglow").chain(words))
    }

    #[test]
    fn every_flag_keeps_its_name() {
        let fingerprint = "0123 4567 89AB CDEF ".repeat(4);
        let cli = parse(&[
            "--server",
            "mud",
            "--server",
            "10.0.0.7:7020",
            "--group-port",
            "7109",
            "--token",
            "soft:ann",
            "--reader",
            "ACS",
            "--size",
            "800x600",
            "--fullscreen",
            "--dark-after",
            "90",
            "--renderer",
            "cpu",
            "--scale",
            "1:1",
            "--keymap",
            "de(nodeadkeys)",
            "--group",
            &fingerprint,
            "--state",
            "/s",
            "--event-log",
            "-",
            "--screenshot",
            "/p.png",
        ])
        .unwrap();
        let servers: Vec<_> = cli.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["mud:7010", "10.0.0.7:7020"]);
        assert_eq!(cli.group_port, 7109);
        assert_eq!(cli.token, Choice::Soft("soft.ann".parse().unwrap()));
        assert_eq!(cli.size, Size::new(800, 600));
        assert_eq!(cli.group.unwrap().to_string(), "0123456789abcdef".repeat(4));
        assert_eq!(cli.event_log, Some("-".to_owned()));
        assert_eq!(cli.state, Some("/s".into()));
        assert_eq!(cli.dark_after, 90);
        assert_eq!((cli.renderer, cli.scale), (Renderer::Cpu, Scale::Unscaled));
        assert!(!cli.spoil_pixel);
        assert!(cli.fullscreen && cli.screenshot.is_some() && cli.keymap.is_some());
    }

    #[test]
    fn a_bad_value_is_named() {
        for words in [
            ["--server", "mud:0"],
            ["--server", "[::1]:7010"],
            ["--group-port", "0"],
            ["--token", "soft:"],
            ["--token", "nfc"],
            ["--size", "0x0"],
            ["--group", "abc"],
            ["--keymap", "?"],
            ["--renderer", "gl"],
            ["--scale", "2:1"],
        ] {
            let error = parse(&words).unwrap_err().to_string();
            assert!(error.contains(words[0]), "{error}");
        }
    }
}

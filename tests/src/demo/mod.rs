//! The demo: two servers on loopback, a store and a home folder that they
//! share, and DTUs.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`hands`] | in a terminal on a desktop: a person presses the keys |
//! | [`story`] | without: it plays by itself, and checks every step |
//! | [`record`] | pictures, the merged event logs |
//! | [`film`] | the animated picture |
//! | [`words`] | what happens, in words |

use crate::scratch::Scratch;
use crate::site::Site;
use anyhow::Result;
use std::io::IsTerminal;

pub mod film;
pub mod hands;
pub mod record;
pub mod story;
pub mod words;

/// The font of the demo's terminals, larger than xterm's own.
pub const FONT: &str = "9x15";

/// The demo's desktop: a window manager, a panel, and a terminal that tells the
/// host that it runs on, and in its last line for how long it has run.
const DESKTOP_SCRIPT: &str = r#"
host=${AFTERGLOW_HOST_MARK%%-*}
PS1="$host\$ "
export PS1
xsetroot -solid steelblue4
tint2 2>/dev/null &
exec xterm -T "a terminal on $host" -geometry 60x20+30+20 -fn 9x15 -fg gray90 -bg gray15 -e sh -c '
    half=0
    while sleep 0.5; do
        half=$((half + 1))
        seconds=$((half / 2)).$((half % 2 * 5))
        printf "\0337\033[20;36H\033[33mthis runs for %6s s\033[m\0338" $seconds
    done &
    exec sh'
"#;

/// The card that the demo carries about.
const CARD: &str = "soft:ada";

/// Plays the demo, by hand if there are hands.
pub fn run() -> Result<()> {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if terminal && display { hands::play() } else { story::play() }
}

/// The two servers, on loopback alone.
fn servers() -> Result<Site> {
    let scratch = Scratch::new("demo")?;
    let script = scratch.path().join("desktop.sh");
    std::fs::write(&script, DESKTOP_SCRIPT)?;
    let startup = format!("sh {}", script.display());
    let desktop = ["openbox", "--sm-disable", "--startup", &startup];
    let mut site = Site::prepare_in(scratch, &["mud", "host05"], &desktop)?;
    for host in &mut site.hosts {
        host.start_server()?;
    }
    Ok(site)
}

//! A bad network: cables end at a relay in user space, which carries frames as
//! a switch would, and loses and delays them.
//!
//! Each frame is lost by chance, and otherwise delayed by a time drawn anew
//! for each, so that frames overtake each other as well.

use super::{Helper, Namespace};
use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest frame that is carried; longer ones are no frames of a wire.
const FRAME_BYTES_MAX: usize = 2048;
/// The most frames on their way; more are lost, as in a real queue.
const FRAMES_MAX: usize = 10_000;
/// The most stations whose port is known.
const STATIONS_MAX: usize = 256;
/// How long to wait for a frame when none is on its way.
const IDLE: Duration = Duration::from_secs(3600);

/// How bad the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// How many frames of a hundred are lost.
    pub loss_percent: u32,
    /// By how much a frame is delayed at most, in milliseconds; each by a time
    /// between nothing and this.
    pub jitter_ms: u32,
}

impl Weather {
    /// A good network.
    pub const FAIR: Weather = Weather { loss_percent: 0, jitter_ms: 0 };

    fn line(self) -> String {
        format!("{} {}", self.loss_percent, self.jitter_ms)
    }

    fn parse(line: &str) -> Option<Self> {
        let (loss, jitter) = line.trim().split_once(' ')?;
        Some(Weather { loss_percent: loss.parse().ok()?, jitter_ms: jitter.parse().ok()? })
    }
}

/// A relay at work; the cables are dead when this is dropped.
pub struct Relay {
    helper: Helper,
}

impl Relay {
    pub(super) fn start<'a>(
        namespace: &Namespace,
        ports: impl Iterator<Item = &'a str>,
        weather: Weather,
    ) -> Result<Self> {
        let seed = crate::events::now_us().to_string();
        let words = ["relay".to_owned(), seed].into_iter();
        let words = words.chain(ports.map(str::to_owned)).map(Into::into).collect();
        let mut relay = Relay { helper: namespace.helper(words)? };
        relay.set(weather)?;
        Ok(relay)
    }

    /// Changes the weather; frames on their way keep the one that they met.
    pub fn set(&mut self, weather: Weather) -> Result<()> {
        self.helper.say(&weather.line())
    }
}

/// A frame that came in at a port.
struct Came {
    port: usize,
    frame: Vec<u8>,
}

/// A frame that is to go out at a port.
#[derive(PartialEq, Eq)]
struct Due {
    at: Instant,
    port: usize,
    frame: Vec<u8>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap gives the greatest: the earliest is to be that.
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The helper's part: carries frames between these ports until the standard
/// input ends; each of its lines is new weather.
pub(super) fn carry(seed: &str, ports: &[&str], ready: impl FnOnce() -> Result<()>) -> Result<()> {
    let seed: u64 = seed.parse().context("the seed is a number")?;
    let sockets: Vec<OwnedFd> = ports.iter().map(|port| open(port)).collect::<Result<_>>()?;
    let sockets = Arc::new(sockets);
    let weather = Arc::new(Mutex::new(Weather::FAIR));
    let (sender, frames) = channel();
    for port in 0..sockets.len() {
        let (sockets, sender) = (sockets.clone(), sender.clone());
        std::thread::spawn(move || listen(&sockets[port], port, &sender));
    }
    let mut switch = Switch {
        sockets,
        weather: weather.clone(),
        stations: HashMap::new(),
        due: BinaryHeap::new(),
        random: seed | 1,
    };
    std::thread::spawn(move || switch.run(&frames));
    ready()?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let told = Weather::parse(&line).with_context(|| format!("{line:?} is no weather"))?;
        *weather.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = told;
    }
    Ok(())
}

/// A packet socket on one interface. Only its link address, as the kernel
/// gives it, can be bound to without unsafe code.
fn open(port: &str) -> Result<OwnedFd> {
    let mut known = getifaddrs().context("the interfaces")?;
    let link: LinkAddr = known
        .find_map(|entry| match entry.interface_name == port {
            true => entry.address?.as_link_addr().copied(),
            false => None,
        })
        .with_context(|| format!("there is no interface {port}"))?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let all = SockProtocol::EthAll;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, all)?;
    bind(socket.as_raw_fd(), &link).with_context(|| format!("cannot listen at {port}"))?;
    Ok(socket)
}

fn listen(socket: &OwnedFd, port: usize, frames: &Sender<Came>) {
    let mut buffer = vec![0; FRAME_BYTES_MAX + 1];
    loop {
        // An interface that is gone gives errors until the namespace goes.
        let Ok(len) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if len > FRAME_BYTES_MAX {
            continue;
        }
        if frames.send(Came { port, frame: buffer[..len].to_vec() }).is_err() {
            return;
        }
    }
}

struct Switch {
    sockets: Arc<Vec<OwnedFd>>,
    weather: Arc<Mutex<Weather>>,
    stations: HashMap<[u8; 6], usize>,
    due: BinaryHeap<Due>,
    random: u64,
}

impl Switch {
    fn run(&mut self, frames: &Receiver<Came>) {
        loop {
            let wait = match self.due.peek() {
                Some(due) => due.at.saturating_duration_since(Instant::now()),
                None => IDLE,
            };
            match frames.recv_timeout(wait) {
                Ok(Came { port, frame }) => self.take(port, frame),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.send_what_is_due();
        }
    }

    fn take(&mut self, port: usize, mut frame: Vec<u8>) {
        let Some((to, from)) = addresses(&frame) else { return };
        if !finish(&mut frame) {
            return;
        }
        if self.stations.len() < STATIONS_MAX {
            self.stations.insert(from, port);
        }
        let known = self.stations.get(&to).copied();
        let ports = 0..self.sockets.len();
        for out in ports.filter(|out| *out != port && known.is_none_or(|known| known == *out)) {
            self.send_later(out, &frame);
        }
    }

    fn send_later(&mut self, port: usize, frame: &[u8]) {
        let weather = *self.weather.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lost = self.draw(100) < u64::from(weather.loss_percent);
        if lost || self.due.len() >= FRAMES_MAX {
            return;
        }
        let delay_us = self.draw(u64::from(weather.jitter_ms) * 1000 + 1);
        let at = Instant::now() + Duration::from_micros(delay_us);
        self.due.push(Due { at, port, frame: frame.to_vec() });
    }

    fn send_what_is_due(&mut self) {
        let now = Instant::now();
        while self.due.peek().is_some_and(|due| due.at <= now) {
            let Some(due) = self.due.pop() else { return };
            // A full queue loses a frame, as a network may.
            let _ = send(self.sockets[due.port].as_raw_fd(), &due.frame, MsgFlags::MSG_DONTWAIT);
        }
    }

    /// A number below `end` (xorshift64*).
    fn draw(&mut self, end: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end.max(1)
    }
}

/// Where a frame goes to and where it comes from.
fn addresses(frame: &[u8]) -> Option<([u8; 6], [u8; 6])> {
    Some((frame.get(..6)?.try_into().ok()?, frame.get(6..12)?.try_into().ok()?))
}

/// Makes a frame one that may go over a wire; false if it is not to be carried
/// at all. A virtual cable leaves UDP's checksum to hardware that is not
/// there: no checksum at all is as good.
fn finish(frame: &mut [u8]) -> bool {
    let kind = frame.get(12..14).map(|kind| [kind[0], kind[1]]);
    match kind {
        Some([0x08, 0x06]) => true,
        Some([0x08, 0x00]) => {
            let header_bytes = usize::from(frame.get(14).copied().unwrap_or(0) & 0x0f) * 4;
            let checksum = 14 + header_bytes + 6;
            let (udp, first) = (frame.get(23) == Some(&17), frame.get(20..22));
            let whole = first.is_some_and(|offset| offset[0] & 0x3f == 0 && offset[1] == 0);
            if udp && whole && frame.len() >= checksum + 2 {
                frame[checksum..checksum + 2].fill(0);
            }
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_datagrams_checksum_is_left_out() {
        let mut frame = vec![9; 14 + 20 + 8];
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        frame[20..22].fill(0);
        frame[23] = 17;
        assert!(finish(&mut frame));
        assert_eq!(frame[14 + 20 + 4..], [9, 9, 0, 0]);
        let mut fragment = frame.clone();
        fragment[21] = 1;
        fragment[40..].fill(9);
        assert!(finish(&mut fragment));
        assert_eq!(fragment[40..], [9, 9]);
        for len in 0..frame.len() {
            finish(&mut frame[..len].to_vec());
        }
        frame[12] = 0x86;
        assert!(!finish(&mut frame), "IPv6 is not carried");
    }

    #[test]
    fn weather_survives_its_line() {
        let weather = Weather { loss_percent: 5, jitter_ms: 200 };
        assert_eq!(Weather::parse(&weather.line()), Some(weather));
        assert_eq!(Weather::parse("rain"), None);
    }
}

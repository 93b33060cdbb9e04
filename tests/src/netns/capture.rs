//! The group's datagrams, as they pass by a switch.
//!
//! A packet socket sees every frame of its namespace; a helper writes down
//! those of the group's port, as text with times and addresses, once each:
//! a switch sees the same frame at each of its ports.

use super::{Helper, Namespace};
use crate::wait;
use anyhow::{Context, Result};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// The group's port, unless the configuration says otherwise.
const GROUP_PORT: u16 = 7009;
/// Every protocol, as packet(7) wants it: in network order.
const ALL_PROTOCOLS: u32 = (0x0003_u16).to_be() as u32;
/// How many frames are remembered to tell a copy.
const REMEMBERED: usize = 64;
/// The longest frame.
const FRAME_BYTES_MAX: usize = 65_536 + 64;

/// A datagram of the group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Datagram {
    /// When it was seen, by CLOCK_MONOTONIC.
    pub t_us: u64,
    /// From here.
    pub from: SocketAddrV4,
    /// To here.
    pub to: SocketAddrV4,
    /// What it says; the group speaks in plain text.
    pub text: String,
}

impl Datagram {
    /// The first key: `host`, `serverQ`, `serverR`, `tokenQ` or `tokenR`.
    pub fn kind(&self) -> &str {
        self.text.split('=').next().unwrap_or_default()
    }

    /// What a key says.
    pub fn value(&self, key: &str) -> Option<&str> {
        let mut pairs = self.text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Datagrams are being written down; not any more when this is dropped.
pub struct Capture {
    _helper: Helper,
    file: PathBuf,
}

impl Capture {
    pub(super) fn start(namespace: &Namespace, file: &Path) -> Result<Self> {
        let helper = namespace.helper(vec!["capture".into(), file.into()])?;
        Ok(Capture { _helper: helper, file: file.to_owned() })
    }

    /// All that were seen so far.
    pub fn all(&self) -> Result<Vec<Datagram>> {
        let text = std::fs::read_to_string(&self.file).context("what was captured")?;
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Waits for the first datagram from a time on that is as wanted.
    pub fn wait(
        &self,
        what: &str,
        since_us: u64,
        wanted: impl Fn(&Datagram) -> bool,
    ) -> Result<Datagram> {
        wait::until(what, wait::PATIENCE, || {
            let all = self.all()?.into_iter();
            Ok(all.into_iter().find(|seen| seen.t_us >= since_us && wanted(seen)))
        })
    }
}

/// The helper's part: writes down what passes by, until it is ended.
pub(super) fn write_down(file: &Path, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(file)?;
    let protocol = Protocol::from_raw(NonZeroU32::new(ALL_PROTOCOLS).context("not zero")?);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(protocol))
        .context("a packet socket")?;
    let mut socket = std::fs::File::from(socket);
    ready()?;
    let mut frame = vec![0; FRAME_BYTES_MAX];
    let mut seen: VecDeque<Vec<u8>> = VecDeque::new();
    loop {
        let len = socket.read(&mut frame)?;
        let Some(datagram) = datagram(&frame[..len]) else { continue };
        if seen.iter().any(|earlier| earlier == &frame[..len]) {
            continue;
        }
        seen.push_back(frame[..len].to_vec());
        if seen.len() > REMEMBERED {
            seen.pop_front();
        }
        let mut line = serde_json::to_string(&datagram)?;
        line.push('\n');
        file.write_all(line.as_bytes())?;
    }
}

/// The group's datagram in an Ethernet frame, if it holds one.
fn datagram(frame: &[u8]) -> Option<Datagram> {
    let packet = frame.get(12..)?.strip_prefix(&[0x08, 0x00])?;
    let header_bytes = usize::from(packet.first()? & 0x0f) * 4;
    let udp_protocol = 17;
    if *packet.get(9)? != udp_protocol {
        return None;
    }
    let address = |at: usize| {
        let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    };
    let datagram = packet.get(header_bytes..)?;
    let number = |at: usize| {
        let bytes: [u8; 2] = datagram.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    };
    let from = SocketAddrV4::new(address(12)?, number(0)?);
    let to = SocketAddrV4::new(address(16)?, number(2)?);
    if from.port() != GROUP_PORT && to.port() != GROUP_PORT {
        return None;
    }
    let text = datagram.get(8..usize::from(number(4)?))?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some(Datagram { t_us: crate::events::now_us(), from, to, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_datagrams_are_found_in_frames() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[0x08, 0x00, 0x45, 0, 0, 34, 0, 1, 0, 0, 64, 17, 0, 0]);
        frame.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 255]);
        frame.extend_from_slice(&[0x1b, 0x61, 0x1b, 0x61, 0, 14, 0, 0]);
        frame.extend_from_slice(b"host=a padding");
        let seen = datagram(&frame).unwrap();
        assert_eq!(seen.from, "10.0.0.1:7009".parse().unwrap());
        assert_eq!(seen.to, "10.0.0.255:7009".parse().unwrap());
        assert_eq!((seen.kind(), seen.value("host")), ("host", Some("a")));
        assert_eq!(seen.text, "host=a");
        for len in 0..frame.len() - 8 {
            assert!(datagram(&frame[..len]).is_none(), "cut to {len} bytes");
        }
        frame[23] = 6;
        assert!(datagram(&frame).is_none(), "that is TCP");
    }
}

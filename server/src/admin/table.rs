//! The topology as a table, in the form of the patent's Table A: a line for
//! each host, and under it one for each of its interfaces.
//!
//! Times are in seconds; −1 stands where no packet ever came. What a name has
//! that is not printable ASCII is printed escaped, because a name may come
//! from anybody.

use crate::group::report::{HostReport, InterfaceReport, TopologyReport, UntrustedReport};
use std::net::Ipv4Addr;

/// How addresses are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// As people write them: 192.168.128.1.
    Dotted,
    /// As the patent's table and the group's messages have them: c0a88001.
    Hex,
}

/// The table, each line with its line feed.
pub fn table(report: &TopologyReport, addresses: Addresses) -> String {
    let hosts: Vec<_> = report.hosts.iter().map(|host| host_row(host, addresses)).collect();
    let interfaces = report.hosts.iter().flat_map(|host| &host.interfaces);
    let interfaces: Vec<_> = interfaces.map(|known| interface_row(known, addresses)).collect();
    let untrusted: Vec<_> =
        report.untrusted.iter().map(|host| untrusted_row(host, addresses)).collect();
    let mut interface_lines = aligned(&interfaces).into_iter();
    let mut lines = Vec::new();
    for (host, line) in report.hosts.iter().zip(aligned(&hosts)) {
        lines.push(line);
        let own = interface_lines.by_ref().take(host.interfaces.len());
        lines.extend(own.map(|line| format!("  {line}")));
    }
    lines.extend(aligned(&untrusted));
    lines.extend(report.hosts.iter().filter_map(homes_line));
    if !report.store.is_empty() {
        lines.push(format!("Store {}", report.store.escape_debug()));
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// What is to be done about a host's home folders, if they are known to be
/// others than those of the server that reports.
fn homes_line(host: &HostReport) -> Option<String> {
    let homes = host.homes.as_ref().filter(|homes| homes.shared == Some(false))?;
    let (name, why) = (name(&host.name), homes.text.escape_debug());
    Some(format!("Homes of {name} are not shared: {why}"))
}

/// One cell of a line.
enum Cell {
    /// Begins where its column begins.
    Left(String),
    /// Ends where its column ends.
    Right(String),
}

use Cell::{Left, Right};

impl Cell {
    fn text(&self) -> &str {
        match self {
            Left(text) | Right(text) => text,
        }
    }
}

fn word(text: &str) -> Cell {
    Left(text.to_owned())
}

fn host_row(host: &HostReport, addresses: Addresses) -> Vec<Cell> {
    let state = match (host.up, host.draining) {
        (false, _) => "down",
        (true, true) => "draining",
        (true, false) => "up",
    };
    vec![
        word("Host"),
        Left(name(&host.name)),
        word("lastseen"),
        Right(tenths(host.lastseen_ms)),
        word("timeoff"),
        Right(thousandths(host.timeoff_ms)),
        word("addr"),
        Left(address(host.addr, addresses)),
        word("numifs"),
        Right(host.interfaces.len().to_string()),
        word(if host.trusted { "TRUSTED" } else { "untrusted" }),
        word(state),
        word("sessions"),
        Right(host.sessions.to_string()),
        word("load"),
        Right(format!("{}.{:02}", host.load_percent / 100, host.load_percent % 100)),
    ]
}

fn interface_row(interface: &InterfaceReport, addresses: Addresses) -> Vec<Cell> {
    vec![
        word("interface"),
        Left(name(&interface.name)),
        word("ip"),
        Left(address(interface.ip, addresses)),
        word("mask"),
        Left(address(interface.mask, addresses)),
        word("bcast"),
        Left(address(interface.bcast, addresses)),
        word("lastpkt"),
        Right(tenths(interface.lastpkt_ms)),
        word(if interface.up { "up" } else { "down" }),
    ]
}

fn untrusted_row(host: &UntrustedReport, addresses: Addresses) -> Vec<Cell> {
    let from = format!("{}:{}", address(*host.from.ip(), addresses), host.from.port());
    vec![
        word("Host"),
        Left(name(&host.name)),
        word("lastseen"),
        Right(tenths(host.lastseen_ms)),
        word("addr"),
        Left(from),
        word("untrusted"),
        word("messages"),
        Right(host.count.to_string()),
    ]
}

/// The rows as lines, with each column as wide as its widest cell.
fn aligned(rows: &[Vec<Cell>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].text().len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let padded = |(cell, width): (&Cell, &usize)| match cell {
        Left(text) => format!("{text:<width$}"),
        Right(text) => format!("{text:>width$}"),
    };
    let line = |row: &Vec<Cell>| row.iter().zip(&widths).map(padded).collect::<Vec<_>>().join(" ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

fn address(address: Ipv4Addr, addresses: Addresses) -> String {
    match addresses {
        Addresses::Dotted => address.to_string(),
        Addresses::Hex => format!("{:08x}", address.to_bits()),
    }
}

/// How long ago something was, or −1 if it never was.
fn tenths(ms: i64) -> String {
    match ms {
        ..0 => "-1".to_owned(),
        ms => format!("{}.{}", ms / 1000, ms / 100 % 10),
    }
}

fn thousandths(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// A name that cannot move the cursor, break a line or look like two words.
fn name(text: &str) -> String {
    let mut printed = String::new();
    for c in text.chars() {
        match c {
            '\\' => printed.push_str("\\\\"),
            c if c.is_ascii_graphic() => printed.push(c),
            c => printed.extend(c.escape_unicode()),
        }
    }
    if printed.is_empty() { "-".to_owned() } else { printed }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::net::SocketAddrV4;

    fn ip(bits: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(bits)
    }

    fn interface(name: &str, at: u32, mask: u32, lastpkt_ms: i64) -> InterfaceReport {
        InterfaceReport {
            name: name.into(),
            ip: ip(at),
            mask: ip(mask),
            bcast: ip(at | !mask),
            lastpkt_ms,
            up: (0..60_000).contains(&lastpkt_ms),
        }
    }

    fn host(name: &str, addr: u32, lastseen_ms: i64, timeoff_ms: i64) -> HostReport {
        HostReport {
            name: name.into(),
            trusted: true,
            up: true,
            draining: false,
            addr: ip(addr),
            from: SocketAddrV4::new(ip(addr), 7009),
            lastseen_ms,
            timeoff_ms,
            boot: 7,
            seq: 9,
            version: "0.1.0".into(),
            cpus: 2,
            clock_mhz: 248,
            load_percent: 12,
            sessions: 3,
            memory_mib: 512,
            flags: 4,
            control_port: 7010,
            interfaces: Vec::new(),
            homes: None,
        }
    }

    /// The first, the second and the fourth host of the patent's Table A, and
    /// what a table may have to show beyond them.
    pub(in crate::admin) fn report() -> TopologyReport {
        let mut host05 = host("host05", 0x8190_a705, 4_000, 0);
        host05.interfaces = vec![
            interface("ge0", 0xc0a8_8001, 0xffff_ff00, 4_000),
            interface("hme0", 0x8190_a705, 0xffff_ff00, 4_099),
        ];
        let mut host22 = host("host22", 0x8190_a716, 16_000, 25_000);
        (host22.up, host22.sessions, host22.load_percent) = (false, 12, 1234);
        host22.interfaces = vec![
            interface("le0", 0x8190_a716, 0xffff_ff00, 76_000),
            interface("qfe0", 0xc0a8_8101, 0xffff_0000, -1),
        ];
        let mut mud = host("mud", 0x8190_7f05, 1_950, -81_007);
        (mud.draining, mud.sessions, mud.load_percent) = (true, 0, 5);
        TopologyReport {
            store: String::new(),
            hosts: vec![host05, host22, mud],
            untrusted: vec![UntrustedReport {
                name: "evil\u{1b}[2J\\ \u{e9}".into(),
                from: SocketAddrV4::new(ip(0x0a00_0009), 7009),
                lastseen_ms: 250,
                count: 1200,
            }],
        }
    }

    #[test]
    fn the_table_has_the_form_of_the_patents() {
        let expected = r"
Host host05 lastseen  4.0 timeoff   0.000 addr 8190a705 numifs 2 TRUSTED up       sessions  3 load  0.12
  interface ge0  ip c0a88001 mask ffffff00 bcast c0a880ff lastpkt  4.0 up
  interface hme0 ip 8190a705 mask ffffff00 bcast 8190a7ff lastpkt  4.0 up
Host host22 lastseen 16.0 timeoff  25.000 addr 8190a716 numifs 2 TRUSTED down     sessions 12 load 12.34
  interface le0  ip 8190a716 mask ffffff00 bcast 8190a7ff lastpkt 76.0 down
  interface qfe0 ip c0a88101 mask ffff0000 bcast c0a8ffff lastpkt   -1 down
Host mud    lastseen  1.9 timeoff -81.007 addr 81907f05 numifs 0 TRUSTED draining sessions  0 load  0.05
Host evil\u{1b}[2J\\\u{20}\u{e9} lastseen 0.2 addr 0a000009:7009 untrusted messages 1200
";
        assert_eq!(format!("\n{}", table(&report(), Addresses::Hex)), expected);
    }

    #[test]
    fn addresses_may_be_dotted() {
        let mut report = report();
        report.hosts.truncate(1);
        report.untrusted.clear();
        let expected = r"
Host host05 lastseen 4.0 timeoff 0.000 addr 129.144.167.5 numifs 2 TRUSTED up sessions 3 load 0.12
  interface ge0  ip 192.168.128.1 mask 255.255.255.0 bcast 192.168.128.255 lastpkt 4.0 up
  interface hme0 ip 129.144.167.5 mask 255.255.255.0 bcast 129.144.167.255 lastpkt 4.0 up
";
        assert_eq!(format!("\n{}", table(&report, Addresses::Dotted)), expected);
    }

    #[test]
    fn a_host_that_is_not_trusted_is_called_so() {
        let mut report = report();
        report.hosts.truncate(1);
        report.hosts[0].trusted = false;
        let text = table(&report, Addresses::Dotted);
        assert!(text.contains("numifs 2 untrusted up"), "{text}");
    }

    #[test]
    fn the_most_extreme_numbers_are_printed() {
        assert_eq!(thousandths(i64::MIN), "-9223372036854775.808");
        assert_eq!((tenths(i64::MAX), tenths(99)), ("9223372036854775.8".into(), "0.0".into()));
        assert_eq!((name(""), name("a\nb\u{202e}")), ("-".into(), r"a\u{a}b\u{202e}".into()));
    }
}

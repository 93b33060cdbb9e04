//! What the host messages tell of this host: interfaces, processors, load.

use crate::config::Config;
use crate::group::Present;
use afterglow_wire::group::Interface;
use getifaddrs::{Address, InterfaceFilter, InterfaceFlags};
use std::net::Ipv4Addr;

/// The interfaces that the server speaks on: the configured ones, or all but
/// loopback; those that are up.
pub fn interfaces(config: &Config) -> Vec<Interface> {
    let all = match InterfaceFilter::new().v4().get() {
        Ok(all) => all,
        Err(e) => {
            tracing::warn!("the network interfaces cannot be read: {e}");
            return Vec::new();
        }
    };
    let wanted = |found: &getifaddrs::Interface| match &config.interfaces {
        Some(names) => names.contains(&found.name),
        None => !found.flags.contains(InterfaceFlags::LOOPBACK),
    };
    all.filter(|found| found.flags.contains(InterfaceFlags::UP) && wanted(found))
        .filter_map(|found| {
            let Address::V4(address) = found.address else { return None };
            let ip = address.address;
            let mask = address.netmask.unwrap_or(Ipv4Addr::BROADCAST);
            let broadcasts = found.flags.contains(InterfaceFlags::BROADCAST);
            let bcast = match address.associated_address {
                Some(bcast) if broadcasts => bcast,
                _ if broadcasts => Ipv4Addr::from_bits(ip.to_bits() | !mask.to_bits()),
                _ => ip,
            };
            // An alias such as eth0:1 has a name that a message could not tell.
            let fits = found.name.len() <= 32 && found.name.bytes().all(|b| b.is_ascii_graphic());
            fits.then_some(Interface { name: found.name, ip, mask, bcast })
        })
        .collect()
}

/// The address at which others reach us.
pub fn advertise(config: &Config, interfaces: &[Interface]) -> Ipv4Addr {
    if let Some(address) = config.advertise {
        return address;
    }
    if !config.listen.is_unspecified() {
        return config.listen;
    }
    let first = interfaces.iter().find(|known| !known.ip.is_loopback());
    match first.or(interfaces.first()) {
        Some(interface) => interface.ip,
        None => {
            tracing::warn!("no network interface is up: only this host reaches the server");
            Ipv4Addr::LOCALHOST
        }
    }
}

/// How the host is now.
pub fn present(config: &Config, sessions: usize) -> Present {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    Present {
        interfaces: interfaces(config),
        cpus,
        clock_mhz: clock_mhz().unwrap_or(0),
        load_percent: load_percent().unwrap_or(0),
        sessions: sessions as u32,
        memory_mib: memory_mib().unwrap_or(0),
    }
}

fn load_percent() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some((load * 100.0) as u32)
}

fn clock_mhz() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    Some(line.split_once(':')?.1.trim().parse::<f64>().ok()? as u32)
}

fn memory_mib() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

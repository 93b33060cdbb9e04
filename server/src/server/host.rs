//! What the host messages tell of this host: interfaces, processors, load.

use crate::config::Config;
use crate::group::Present;
use afterglow_wire::group::Interface;
use getifaddrs::{Address, InterfaceFilter, InterfaceFlags};
use std::net::Ipv4Addr;
use std::sync::LazyLock;

/// The interfaces that the server speaks on and is reached by: the configured
/// ones, or all but loopback; those that are up and have a carrier, and of
/// them those that `listen` leaves. Cheap enough to be asked every second,
/// which is how interfaces that come and go are noticed.
pub fn interfaces(config: &Config) -> Vec<Interface> {
    let all = match InterfaceFilter::new().v4().get() {
        Ok(all) => all,
        Err(e) => {
            tracing::warn!("the network interfaces cannot be read: {e}");
            return Vec::new();
        }
    };
    let chosen = |found: &getifaddrs::Interface| match &config.interfaces {
        Some(names) => names.contains(&found.name),
        None => config.listen.is_loopback() || !found.flags.contains(InterfaceFlags::LOOPBACK),
    };
    let alive = InterfaceFlags::UP | InterfaceFlags::RUNNING;
    all.filter(|found| found.flags.contains(alive) && chosen(found))
        .filter_map(as_told)
        .filter(|interface| listens_on(config.listen, interface.ip))
        .collect()
}

/// True if a socket that is bound to `listen` is reached by this address.
fn listens_on(listen: Ipv4Addr, ip: Ipv4Addr) -> bool {
    listen.is_unspecified() || ip == listen || (listen.is_loopback() && ip.is_loopback())
}

/// An interface in the form of a host message.
fn as_told(found: getifaddrs::Interface) -> Option<Interface> {
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

/// How the host is now; as cheap as [`interfaces`].
pub fn present(config: &Config, sessions: usize) -> Present {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    Present {
        interfaces: interfaces(config),
        cpus,
        clock_mhz: *CLOCK_MHZ,
        load_percent: load_percent().unwrap_or(0),
        sessions: sessions as u32,
        memory_mib: memory_mib().unwrap_or(0),
    }
}

/// Read once: the list of a large host's processors is long, and a clock that
/// follows the load would tell the load twice.
static CLOCK_MHZ: LazyLock<u32> = LazyLock::new(|| clock_mhz().unwrap_or(0));

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

/// What programs can still get without swapping, as the kernel estimates it.
fn memory_mib() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_its_processors_and_memory() {
        assert!(*CLOCK_MHZ < 20_000);
        assert!(memory_mib().is_some_and(|mib| mib > 0));
        assert!(load_percent().is_some());
    }

    #[test]
    fn an_address_to_listen_on_leaves_its_interface_only() {
        let (lan, other) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 1, 0, 5));
        assert!(listens_on(Ipv4Addr::UNSPECIFIED, lan) && listens_on(lan, lan));
        assert!(!listens_on(lan, other));
        let second = Ipv4Addr::new(127, 0, 0, 2);
        assert!(listens_on(second, Ipv4Addr::LOCALHOST) && !listens_on(second, lan));
    }
}

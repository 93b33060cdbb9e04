//! Bytes, processor time and memory, as the kernel counts them.

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// What came in at an interface of the network that a process is in, in bytes:
/// whole frames, headers and all.
pub fn received_bytes(pid: u32, interface: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).context("procfs")?;
    received_of(&text, interface).with_context(|| format!("there is no interface {interface}"))
}

fn received_of(text: &str, interface: &str) -> Option<u64> {
    let numbers = text.lines().find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        (name.trim() == interface).then_some(numbers)
    })?;
    numbers.split_whitespace().next()?.parse().ok()
}

/// The processor time of these processes and of their children that ended, in
/// seconds. One that is gone counts nothing.
pub fn cpu_s(pids: &[u32]) -> f64 {
    let stats =
        pids.iter().filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stats.filter_map(|stat| ticks_of(&stat)).sum::<u64>() as f64 / TICKS_PER_S
}

/// utime, stime, cutime and cstime, the 14th to the 17th field; the second is
/// a name that may have anything in it.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let ticks: Vec<u64> =
        rest.split(' ').skip(11).take(4).map(|field| field.parse().ok()).collect::<Option<_>>()?;
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

/// The memory of these processes, in MB; what they share with others is
/// divided among all of them (PSS).
pub fn pss_mb(pids: &[u32]) -> f64 {
    let rollups = pids
        .iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    rollups.filter_map(|rollup| pss_kb_of(&rollup)).sum::<u64>() as f64 * 1024.0 / 1e6
}

fn pss_kb_of(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let dev = "Inter-|   Receive  |\n face |bytes packets\n    lo: 7 1 0 0\n  eth0: 12345 10 0 0 0 \n";
        assert_eq!(received_of(dev, "eth0"), Some(12_345));
        assert_eq!(received_of(dev, "eth1"), None);
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(ticks_of(stat), Some(127));
        assert_eq!(ticks_of("7 (a) S 1 7"), None);
        assert_eq!(pss_kb_of("55d0-7ff0 ---p\nRss:  9 kB\nPss:       1234 kB\n"), Some(1234));
    }

    #[test]
    fn this_process_uses_something() {
        let own = [std::process::id()];
        assert!(pss_mb(&own) > 0.1);
        assert!(received_bytes(own[0], "lo").is_ok());
        assert_eq!(cpu_s(&[]), 0.0);
    }
}

//! Kill to pixels (`make bench-failover`): how long a user waits when a host
//! dies, measured at the window; and whether a bad network alone ever makes a
//! server take a session over.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`pattern`] | what a service draws, so that it is known from outside |
//! | [`watch`] | the window's pixels, with times |
//! | [`kills`] | killing hosts, and cutting them off |
//! | [`stages`] | where the time goes |
//! | [`machine`] | the day and the machine |
//! | [`display`] | another bench: latency, bytes and work (`make bench-display`) |
//! | [`slow`] | another bench: a slow line, a slow DTU (`make bench-slow`) |
//! | [`soak`] | a bad network, stalls and busy processors |

use anyhow::{Context, Result};

pub mod display;
pub mod kills;
pub mod machine;
pub mod pattern;
pub mod slow;
pub mod soak;
pub mod stages;
pub mod watch;

/// The program that a session runs here.
const SERVICE: &str = "afterglow-test-service";
/// How many hosts are killed unless `KILLS` says otherwise.
const KILLS: u64 = 100;
/// How long the bad network is endured, in seconds, unless `SOAK_S` says
/// otherwise.
const SOAK_S: u64 = 3600;

/// Measures, and prints what was measured. The last line is for programs.
pub fn run() -> Result<()> {
    let kills = from_environment("KILLS", KILLS)?;
    let soak_s = from_environment("SOAK_S", SOAK_S)?;
    println!("Measured on {}", machine::today_here());
    let measured = kills::measure(kills)?;
    if kills > 0 {
        print!("{}", stages::table(&measured.kills));
    }
    let soaked = match soak_s {
        0 => soak::Soaked::default(),
        seconds => soak::endure(seconds)?,
    };
    println!("{soaked}");
    let osd_ms = measured.times_ms(kills::Kill::osd_us);
    let frame_ms = measured.times_ms(kills::Kill::frame_us);
    println!(
        "bench-failover: kills={kills} osd_p50_ms={} frame_p50_ms={} frame_p99_ms={} stranded={} \
         false_takeovers={} soak_s={soak_s}",
        percentile(&osd_ms, 50),
        percentile(&frame_ms, 50),
        percentile(&frame_ms, 99),
        measured.stranded,
        soaked.takeovers,
    );
    Ok(())
}

/// A number from the environment, or its default.
pub fn from_environment(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => text.parse().with_context(|| format!("{name}={text:?} is not a number")),
    }
}

/// The smallest of the sorted values that `percent` of them do not exceed; 0 if
/// there is none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (50, 99));
        assert_eq!((percentile(&[7, 9], 50), percentile(&[7, 9], 99)), (7, 9));
        assert_eq!(percentile(&[], 50), 0);
    }
}

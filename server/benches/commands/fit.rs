//! A line through what was measured.

use std::fmt;
use std::time::Duration;

/// What something costs: a time to start with, and one for each pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    start_ns: f64,
    pixel_ns: f64,
}

impl Line {
    /// That with the least sum of squared relative errors, from pixels and
    /// times; both are above 0, and there are at least two different sizes.
    pub fn through(measured: &[(f64, f64)]) -> Self {
        // Each equation is divided by its time, and so is its error.
        let sum = |of: fn(f64, f64) -> f64| -> f64 {
            measured.iter().map(|(pixels, ns)| of(*pixels, *ns) / (ns * ns)).sum()
        };
        let (ones, pixels, squares) = (sum(|_, _| 1.0), sum(|p, _| p), sum(|p, _| p * p));
        let (times, products) = (sum(|_, ns| ns), sum(|p, ns| p * ns));
        let pixel_ns = (ones * products - pixels * times) / (ones * squares - pixels * pixels);
        Line { start_ns: (times - pixel_ns * pixels) / ones, pixel_ns }
    }
}

/// Two cells of a table: microseconds, and nanoseconds a pixel.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} | {:.3}", self.start_ns / 1000.0, self.pixel_ns)
    }
}

/// The middle one, in nanoseconds, if there is one.
pub fn median_ns(mut times: Vec<Duration>) -> Option<f64> {
    times.sort_unstable();
    times.get(times.len() / 2).map(|time| time.as_nanos().max(1) as f64)
}

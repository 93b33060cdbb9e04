//! Time and randomness, which the decisions get from here.

use crate::auth::Now;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The server's clock.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// Begins to count.
    pub fn start() -> Self {
        Clock { began: Instant::now() }
    }

    /// This moment.
    pub fn now(&self) -> Now {
        Now { steady_ms: self.began.elapsed().as_millis() as u64, wall_ms: wall_ms() }
    }
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Fills a buffer with fresh random bytes.
pub fn fill_random(buffer: &mut [u8]) {
    if aws_lc_rs::rand::fill(buffer).is_err() {
        // Nothing that we promise holds without randomness.
        tracing::error!("the system gives no random bytes: the server stops");
        std::process::abort();
    }
}

/// Fresh random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

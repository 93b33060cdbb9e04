//! What happened, as one number: two runs that differ anywhere differ here.

/// The running hash of everything that was delivered and decided, and the
/// printed trace if one is wanted.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    /// True if every event is printed.
    pub print: bool,
}

impl Trace {
    /// Takes an event in: when, what, about which number, with which bytes.
    pub fn note(&mut self, at_us: u64, what: &str, number: u64, bytes: &[u8]) {
        self.events += 1;
        self.mix(at_us);
        self.mix_bytes(what.as_bytes());
        self.mix(number);
        self.mix_bytes(bytes);
    }

    /// Prints a line, if the trace is printed; it must not change anything.
    pub fn say(&self, at_us: u64, line: impl FnOnce() -> String) {
        if self.print {
            println!("{:>4}.{:06} {}", at_us / 1_000_000, at_us % 1_000_000, line());
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events were taken in.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

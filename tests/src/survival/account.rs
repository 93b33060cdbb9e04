//! Which keys arrived, and how the scenes went.

use std::fmt::Write as _;

/// What a scene takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Server processes, or the store: nothing on the screen may change.
    Server,
    /// The worker: the picture comes back.
    Worker,
    /// A host: programs are started again elsewhere.
    Host,
}

/// What came of one scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What died.
    pub name: &'static str,
    /// What that takes away.
    pub layer: Layer,
    /// How many keys were pressed.
    pub sent: usize,
    /// How many of them the program did not get.
    pub lost: usize,
    /// How many it got that were not pressed, or in another order.
    pub doubled: usize,
    /// The longest time without a new picture, in milliseconds.
    pub gap_ms: u64,
    /// Programs that are not the same processes any more.
    pub programs_lost: usize,
    /// Acknowledged writes that are gone.
    pub writes_lost: usize,
    /// Sessions of which more than one copy runs.
    pub double_sessions: usize,
}

/// What the program missed, and what it got too much, of what was typed.
pub fn compare(typed: &[u8], received: &[u8]) -> (usize, usize) {
    // The longest common subsequence, row by row.
    let mut row = vec![0usize; received.len() + 1];
    for key in typed {
        let mut diagonal = 0;
        for (column, got) in received.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = match key == got {
                true => diagonal + 1,
                false => above.max(row[column]),
            };
            diagonal = above;
        }
    }
    let common = row[received.len()];
    (typed.len() - common, received.len() - common)
}

/// All rows.
#[derive(Debug, Default)]
pub struct Account {
    /// In the order in which they were played.
    pub rows: Vec<Row>,
}

impl Account {
    /// A line for each kind of scene, over all rounds.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| scene | rounds | keys | lost | doubled | gap max, ms | programs lost | writes lost \
             |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.name) {
                names.push(row.name);
            }
        }
        for name in names {
            let of: Vec<&Row> = self.rows.iter().filter(|row| row.name == name).collect();
            let sum = |field: fn(&Row) -> usize| of.iter().map(|row| field(row)).sum::<usize>();
            let gap_ms = of.iter().map(|row| row.gap_ms).max().unwrap_or_default();
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {gap_ms} | {} | {} |",
                of.len(),
                sum(|row| row.sent),
                sum(|row| row.lost),
                sum(|row| row.doubled),
                sum(|row| row.programs_lost),
                sum(|row| row.writes_lost),
            );
        }
        text
    }

    /// The line for programs. Keys are those of the layers at which programs
    /// live on.
    pub fn last_line(&self, rounds: u64) -> String {
        let lives = || self.rows.iter().filter(|row| row.layer != Layer::Host);
        let sum = |field: fn(&Row) -> usize| lives().map(field).sum::<usize>();
        let gap_ms = |layer| {
            let of = self.rows.iter().filter(|row| row.layer == layer);
            of.map(|row| row.gap_ms).max().unwrap_or_default()
        };
        format!(
            "bench-survival: rounds={rounds} keys_sent={} keys_lost={} keys_doubled={} \
             gap1_ms={} gap2_ms={} gap3_ms={} programs_lost_1_2={} double_sessions={}",
            sum(|row| row.sent),
            sum(|row| row.lost),
            sum(|row| row.doubled),
            gap_ms(Layer::Server),
            gap_ms(Layer::Worker),
            gap_ms(Layer::Host),
            sum(|row| row.programs_lost),
            self.rows.iter().map(|row| row.double_sessions).sum::<usize>(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_that_are_missing_doubled_or_out_of_order() {
        assert_eq!(compare(b"abcdef", b"abcdef"), (0, 0));
        assert_eq!(compare(b"abcdef", b"abdef"), (1, 0));
        assert_eq!(compare(b"abcdef", b"abccdef"), (0, 1));
        assert_eq!(compare(b"abcdef", b"abdcef"), (1, 1));
        assert_eq!(compare(b"abc", b""), (3, 0));
        assert_eq!(compare(b"", b"x"), (0, 1));
    }
}

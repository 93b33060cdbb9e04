//! How the scenes went: a row for each, a table of all, and a line for
//! programs.

use super::tally::Tally;
use std::fmt::Write as _;

/// What a scene takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Nothing: what the machine itself does to the picture.
    Nothing,
    /// Server processes, or the store: nothing on the screen may change.
    Server,
    /// The whole host of the store and the homes: nothing on the screen may
    /// change, and programs are told that nothing can be saved.
    Storage,
    /// The worker: the picture comes back.
    Worker,
    /// A host: programs are started again elsewhere.
    Host,
}

impl Layer {
    /// The longest time without a new picture that is good enough.
    pub fn gap_ms_max(self) -> Option<u64> {
        match self {
            Layer::Server | Layer::Storage => Some(100),
            Layer::Worker => Some(500),
            Layer::Nothing | Layer::Host => None,
        }
    }

    /// True if programs live on.
    pub fn spares_programs(self) -> bool {
        self != Layer::Host
    }

    /// True if what is saved meanwhile is saved.
    pub fn spares_homes(self) -> bool {
        !matches!(self, Layer::Storage | Layer::Host)
    }
}

/// What came of one scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What died.
    pub name: &'static str,
    /// What that takes away.
    pub layer: Layer,
    /// What became of the keys. With a host those are lost that were typed
    /// while there was nothing to take them.
    pub keys: Tally,
    /// The longest time without a new page of the notebook, in milliseconds.
    pub gap_ms: u64,
    /// From the kill, or the cut, to the new copy's first frame, in
    /// milliseconds; the notebook comes up later.
    pub first_frame_ms: Option<u64>,
    /// Programs that are not the same process any more, or do not hold any
    /// more what they held.
    pub programs_lost: u64,
    /// How many lines were in the home, as its file system promised.
    pub writes: u64,
    /// How many of these are not there.
    pub writes_lost: u64,
    /// How many lines the home refused, so that nobody relies on them.
    pub writes_refused: u64,
    /// How many copies of the session go on beside the one that is shown.
    pub double_sessions: u64,
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
            "| scene | rounds | keys sent | lost | doubled | reordered | programs lost | writes \
             promised | lost | refused | two copies | longest gap, ms | first frame, ms |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.name) {
                names.push(row.name);
            }
        }
        for name in names {
            let of: Vec<&Row> = self.rows.iter().filter(|row| row.name == name).collect();
            let sum = |field: fn(&Row) -> u64| of.iter().map(|row| field(row)).sum::<u64>();
            let gap_ms = of.iter().map(|row| row.gap_ms).max().unwrap_or_default();
            let frame_ms = of.iter().filter_map(|row| row.first_frame_ms).max();
            let frame_ms = frame_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {gap_ms} | \
                 {frame_ms} |",
                of.len(),
                sum(|row| row.keys.sent),
                sum(|row| row.keys.lost),
                sum(|row| row.keys.doubled),
                sum(|row| row.keys.reordered),
                sum(|row| row.programs_lost),
                sum(|row| row.writes),
                sum(|row| row.writes_lost),
                sum(|row| row.writes_refused),
                sum(|row| row.double_sessions),
            );
        }
        text
    }

    /// The line for programs. Keys are lost, or come at a wrong place, where
    /// programs live on; one that came twice counts wherever it did.
    pub fn last_line(&self, rounds: u64) -> String {
        let sum = |layers: fn(Layer) -> bool, field: fn(&Row) -> u64| {
            self.rows.iter().filter(|row| layers(row.layer)).map(field).sum::<u64>()
        };
        let gap_ms = |layers: &[Layer]| {
            let of = self.rows.iter().filter(|row| layers.contains(&row.layer));
            of.map(|row| row.gap_ms).max().unwrap_or_default()
        };
        let gap3_ms = self.rows.iter().filter_map(|row| row.first_frame_ms).max();
        format!(
            "bench-survival: rounds={rounds} keys_sent={} keys_lost={} keys_doubled={} \
             gap1_ms={} gap2_ms={} gap3_ms={} programs_lost_1_2={} double_sessions={}",
            sum(Layer::spares_programs, |row| row.keys.sent),
            sum(Layer::spares_programs, |row| row.keys.lost + row.keys.reordered),
            sum(|_| true, |row| row.keys.doubled),
            gap_ms(&[Layer::Server, Layer::Storage]),
            gap_ms(&[Layer::Worker]),
            gap3_ms.unwrap_or_default(),
            sum(Layer::spares_programs, |row| row.programs_lost),
            sum(|_| true, |row| row.double_sessions),
        )
    }

    /// Everything that must not be, in words; pictures that came late are left
    /// to who knows that the machine did nothing else.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for row in &self.rows {
            let Tally { lost, doubled, reordered, .. } = row.keys;
            let lost = if row.layer.spares_programs() { lost } else { 0 };
            let programs = if row.layer.spares_programs() { row.programs_lost } else { 0 };
            let refused = if row.layer.spares_homes() { row.writes_refused } else { 0 };
            let mut note = |count: u64, what: &str| {
                if count > 0 {
                    faults.push(format!("{}: {count} {what}", row.name));
                }
            };
            note(lost, "keys lost");
            note(doubled, "keys doubled");
            note(reordered, "keys reordered");
            note(programs, "programs lost");
            note(row.writes_lost, "promised lines lost");
            note(refused, "lines refused");
            note(row.double_sessions, "copies beside the one that is shown");
        }
        faults
    }

    /// Pictures that came too late.
    pub fn late(&self) -> Vec<String> {
        let late = self.rows.iter().filter_map(|row| {
            let max_ms = row.layer.gap_ms_max()?;
            let (name, gap_ms) = (row.name, row.gap_ms);
            (gap_ms > max_ms).then(|| format!("{name}: {gap_ms} ms without a picture"))
        });
        late.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(layer: Layer, keys: Tally, gap_ms: u64) -> Row {
        Row {
            name: "a scene",
            layer,
            keys,
            gap_ms,
            first_frame_ms: (layer == Layer::Host).then_some(900),
            programs_lost: u64::from(layer == Layer::Host),
            writes: 1,
            writes_lost: 0,
            writes_refused: 1,
            double_sessions: 0,
        }
    }

    #[test]
    fn what_a_host_takes_with_it_is_no_fault_and_all_else_is() {
        let lost = Tally { sent: 10, lost: 2, ..Tally::default() };
        let doubled = Tally { sent: 5, doubled: 1, ..Tally::default() };
        let rows = vec![row(Layer::Host, lost, 1300), row(Layer::Server, doubled, 101)];
        let mut account = Account { rows };
        assert_eq!(account.faults(), ["a scene: 1 keys doubled", "a scene: 1 lines refused"]);
        assert_eq!(account.late(), ["a scene: 101 ms without a picture"]);
        assert_eq!(
            account.last_line(1),
            "bench-survival: rounds=1 keys_sent=5 keys_lost=0 keys_doubled=1 gap1_ms=101 \
             gap2_ms=0 gap3_ms=900 programs_lost_1_2=0 double_sessions=0"
        );
        account.rows[1].layer = Layer::Storage;
        assert_eq!(account.faults(), ["a scene: 1 keys doubled"]);
        assert_eq!(account.late(), ["a scene: 101 ms without a picture"]);
        account.rows[0].layer = Layer::Worker;
        let faults =
            ["a scene: 2 keys lost", "a scene: 1 programs lost", "a scene: 1 lines refused"];
        assert_eq!(account.faults()[..3], faults);
    }
}

//! How many bytes each trace may take.
//!
//! A budget only goes down: what takes less by more than a twentieth lowers it,
//! so that nobody spends the gain unnoticed.

/// The budget of one trace.
pub struct Budget {
    /// The trace.
    pub name: &'static str,
    /// All messages of its frames, each of them exact.
    pub lossless_bytes: usize,
    /// Likewise with `quality = "auto"`, until all is exact.
    pub auto_bytes: usize,
}

const fn budget(name: &'static str, lossless_bytes: usize, auto_bytes: usize) -> Budget {
    Budget { name, lossless_bytes, auto_bytes }
}

/// Of all traces, in their order.
pub const BUDGETS: [Budget; 5] = [
    budget("terminal", 54_300, 54_300),
    budget("editor", 22_700, 22_700),
    budget("pages", 278_000, 278_000),
    budget("drag", 221_500, 221_500),
    budget("video", 393_500, 189_500),
];

/// What is wrong with so many bytes, if something is.
pub fn complaint(bytes: usize, budget_bytes: usize) -> Option<String> {
    if bytes > budget_bytes {
        return Some(format!("more than its budget of {budget_bytes}"));
    }
    let far_below = bytes < budget_bytes - budget_bytes / 20;
    far_below.then(|| format!("far below {budget_bytes}: lower the budget in budgets.rs"))
}

#[test]
fn a_budget_holds_from_nineteen_twentieths_of_it_to_all_of_it() {
    let complains = |bytes| complaint(bytes, 1000).is_some();
    assert_eq!([949, 950, 1000, 1001].map(complains), [true, false, false, true]);
}

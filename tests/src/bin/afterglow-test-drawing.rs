//! What `make bench-display` shows: pictures that are the same in every run.

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    afterglow_tests::bench::display::drawing::obey(&words)
}

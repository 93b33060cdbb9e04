//! The inside of the tests' network namespaces; started by
//! `afterglow_tests::netns`.

fn main() -> anyhow::Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    afterglow_tests::netns::inside::obey(&words)
}

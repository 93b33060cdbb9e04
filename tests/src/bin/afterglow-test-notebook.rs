//! The program that is typed into while everything dies; its notes go into the
//! directory that it is told.

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1);
    let directory =
        directory.ok_or_else(|| anyhow::anyhow!("usage: afterglow-test-notebook DIR"))?;
    afterglow_tests::survival::notebook::run(directory.as_ref())
}

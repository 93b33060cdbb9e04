//! The inside of the tests' private card reader; started by
//! `afterglow_tests::reader` in namespaces of its own.

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1);
    let directory = directory.ok_or_else(|| anyhow::anyhow!("usage: afterglow-test-reader DIR"))?;
    afterglow_tests::reader::inside::obey(directory.as_ref())
}

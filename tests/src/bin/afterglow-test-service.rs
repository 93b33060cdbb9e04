//! The service of the sessions that `make bench-failover` measures: it shows a
//! random number.

fn main() -> anyhow::Result<()> {
    afterglow_tests::bench::pattern::show()
}

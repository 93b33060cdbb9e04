//! `make bench-failover`: how long a user waits when a host dies.

fn main() -> std::process::ExitCode {
    match afterglow_tests::bench::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench-failover failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

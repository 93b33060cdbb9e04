//! `make bench-slow`: what a slow line does to a session.

fn main() -> std::process::ExitCode {
    match afterglow_tests::bench::slow::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench-slow failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

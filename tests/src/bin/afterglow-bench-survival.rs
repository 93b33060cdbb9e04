//! `make bench-survival`: what becomes of what somebody types while servers,
//! workers and hosts die.

fn main() -> std::process::ExitCode {
    match afterglow_tests::survival::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench-survival failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

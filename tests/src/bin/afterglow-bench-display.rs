//! `make bench-display`: how soon, with how many bytes and with how much work
//! a session's picture comes to its user.

fn main() -> std::process::ExitCode {
    match afterglow_tests::bench::display::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench-display failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

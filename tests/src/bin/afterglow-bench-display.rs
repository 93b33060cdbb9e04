//! `make bench-display`: how soon, with how many bytes and with how much work
//! a session's picture comes to its user.

fn main() -> std::process::ExitCode {
    match afterglow_tests::bench::display::run() {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nbench-display failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

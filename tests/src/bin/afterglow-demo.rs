//! `make demo`: the main job, by hand or by itself.

fn main() -> std::process::ExitCode {
    match afterglow_tests::demo::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

//! Servers as processes, DTUs as clients, over real sockets on loopback. The
//! session's program is this very binary, as a stand-in without an X server.
//!
//! It understands what test runners say: a filter, `--exact`, `--list`.

mod admin;
mod commands;
mod directories;
mod dtu;
mod group;
mod limits;
mod managing;
mod one_server;
mod servers;
mod stand_in;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long one test may take.
const TEST_TIME: Duration = Duration::from_secs(60);

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        const TESTS: &[(&str, Test)] = &[$($(
            (concat!(stringify!($module), "::", stringify!($name)), || Box::pin($module::$name())),
        )*)*];
    };
}

tests! {
    admin:
        the_table_lists_both_servers_and_says_when_one_is_lost
        a_server_that_drains_is_seen_to_by_the_others
        a_watch_ends_well_when_it_is_interrupted_or_not_read
        a_watch_waits_for_a_server_that_is_started_again
        bad_lines_on_the_socket_of_a_server_are_answered
        a_second_server_on_an_admin_socket_is_refused;
    commands:
        init_makes_what_fingerprint_reads_and_keeps_what_is_there
        a_bad_configuration_names_file_line_and_key
        a_key_that_others_can_read_is_refused
        a_port_in_use_is_said;
    managing:
        sessions_are_listed_everywhere_and_ended_from_anywhere
        a_session_is_moved_and_its_dtu_follows_it
        a_move_without_force_is_the_users_to_agree_to
        a_drain_waits_for_who_is_there_and_says_for_whom
        users_are_made_changed_bound_and_removed
        servers_prove_that_they_share_homes_and_tell_if_they_do_not;
    one_server:
        a_new_session_is_attached_removed_and_found_again
        a_restarted_server_finds_its_sessions
        a_session_that_cannot_start_is_refused_with_its_reason
        a_session_that_ends_is_told_and_the_next_is_new
        a_session_whose_keeper_dies_is_started_again_with_a_notice
        a_wrong_challenge_answer_and_anothers_pseudo_token_are_refused;
    directories:
        what_does_not_belong_there_is_left_alone_and_told_of_once
        what_a_killed_keeper_left_running_is_ended_and_nothing_else
        a_session_takes_the_x_server_that_waits
        an_x_server_that_waited_ends_with_its_server
        an_earlier_copy_goes_on_under_its_new_name;
    group:
        a_session_on_another_server_is_found_and_redirected_to
        a_server_process_dies_and_its_dtu_goes_and_comes_back
        a_lost_host_is_taken_over_with_the_next_epoch
        a_stale_copy_is_left_running_and_nobody_gets_it
        what_a_dtu_shows_is_never_replaced;
    limits:
        silent_clients_do_not_hurt_and_are_sent_away
        garbage_ends_its_link_alone
        an_unknown_kind_is_skipped
        another_protocol_is_refused
        an_insert_before_hello_ends_the_link;
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some("keeper") {
        return stand_in::main();
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen = |name: &str| {
        let fits = |f: &&String| if has("--exact") { *f == name } else { name.contains(*f) };
        filters.is_empty() || filters.iter().any(fits)
    };
    let mut failed = Vec::new();
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        let began = Instant::now();
        let passed = run(*test);
        let word = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f32());
        if !passed {
            failed.push(name);
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(test: Test) -> bool {
    let tried = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let result = runtime.block_on(async { tokio::time::timeout(TEST_TIME, test()).await });
        runtime.shutdown_background();
        result.expect("in time");
    }));
    tried.is_ok()
}

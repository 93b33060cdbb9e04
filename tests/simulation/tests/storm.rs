//! Ten thousand desktop units, and sixty-four servers from cold.

use afterglow_simulation::storm::{cold_view_ms, storm, unevenness_percent};

#[test]
fn ten_thousand_are_attached_again_within_five_seconds_and_spread_evenly() {
    let storm = storm(1, 10, 10_000).expect("all are attached");
    println!(
        "storm: servers=10 dtus=10000 power_on_ms={} failover_ms={} orphans={} \
         sent_per_server_s={:.0} heard_per_server_s={:.0} sessions={:?} after={:?}",
        storm.power_on_ms,
        storm.failover_ms,
        storm.orphans,
        storm.rates.sent_per_s,
        storm.rates.heard_per_s,
        storm.sessions,
        storm.sessions_after
    );
    assert!(storm.failover_ms <= 5_000, "{} ms", storm.failover_ms);
    let uneven = unevenness_percent(&storm.sessions_after);
    assert!(uneven <= 10.0, "{uneven:.1}% from even: {:?}", storm.sessions_after);
    let uneven = unevenness_percent(&storm.sessions);
    assert!(uneven <= 10.0, "{uneven:.1}% from even: {:?}", storm.sessions);
    // The formula in the module's documentation, with some room.
    let formula = 10.0 * 10_000.0 / 10.0;
    assert!((storm.rates.sent_per_s - formula).abs() <= formula / 10.0, "{:?}", storm.rates);
    assert!(storm.rates.heard_per_s <= 100.0, "{:?}", storm.rates);
}

#[test]
fn sixty_four_servers_from_cold_have_one_view_within_two_host_intervals() {
    for seed in 0..4 {
        let view_ms = cold_view_ms(seed, 64).expect("they agree");
        println!("cold start: servers=64 view_ms={view_ms}");
        assert!(view_ms <= 2 * 2_000, "seed {seed}: {view_ms} ms");
    }
}

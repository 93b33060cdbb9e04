//! How long a start takes, and where the time goes. It measures and asserts
//! nothing: `cargo nextest run -p afterglow-server --test session
//! --run-ignored only --no-capture measure`.

use crate::dtu::Dtu;
use crate::harness::{Options, Start};
use afterglow_server::config::default_desktop;
use afterglow_wire::ids::Size;
use afterglow_wire::local::{StartOrder, Started};
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;

/// Milestones of one start.
#[derive(Default)]
struct Times {
    names: Vec<&'static str>,
    ms: Vec<Vec<f64>>,
}

impl Times {
    fn note(&mut self, name: &'static str, since: Instant) {
        let at = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.ms.push(Vec::new());
            self.names.len() - 1
        });
        self.ms[at].push(since.elapsed().as_secs_f64() * 1000.0);
    }

    fn print(&mut self, what: &str) {
        for (name, ms) in self.names.iter().zip(&mut self.ms) {
            ms.sort_by(f64::total_cmp);
            let (min, p50, max) = (ms[0], ms[ms.len() / 2], ms[ms.len() - 1]);
            println!("{what:24} {name:28} min {min:6.1}  p50 {p50:6.1}  max {max:6.1}");
        }
    }
}

async fn measure(what: &str, desktop: Vec<String>, keymap: &'static str) {
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        let size = Size::new(1280, 800).unwrap();
        let size_max = Size::new(3840, 2160).unwrap();
        let desktop = desktop.clone();
        let options = Options { desktop, size, size_max, keymap, hold: true, ..Options::shell("") };
        let began = Instant::now();
        let mut start = Start::new(options);
        assert_eq!(start.report(), Some(Started::Prepared));
        times.note("start to prepared", began);
        std::fs::create_dir(&start.spec.home_dir).unwrap();
        // Probes take longer than that, and the worker's start is to be seen.
        tokio::time::sleep(Duration::from_millis(100)).await;

        let dtu = Dtu { screen: size, keymap, ..Dtu::new("one") };
        let went = Instant::now();
        start.order(StartOrder::Go);
        let session = start.into_session().unwrap();
        times.note("go to ready", went);
        let mut shown = session.attach(&dtu).await;
        times.note("go to attached", went);
        while shown.frames == 0 {
            assert_eq!(shown.step().await, None);
        }
        times.note("go to first frame", went);
        let first = shown.picture.pixels()[..4].to_vec();
        while shown.picture.pixels().chunks_exact(4).all(|pixel| pixel == first) {
            assert_eq!(shown.step().await, None);
        }
        times.note("go to what a program drew", went);
    }
    times.print(what);
}

#[tokio::test]
#[ignore = "it measures"]
async fn measure_the_default_desktop() {
    measure("default desktop, us", default_desktop(), "us").await;
    measure("default desktop, de", default_desktop(), "de").await;
}

#[tokio::test]
#[ignore = "it measures"]
async fn measure_a_bare_xterm() {
    measure("bare xterm", vec!["xterm".into()], "us").await;
}

//! How long the encoder takes for a frame of each recorded trace, and how many
//! captured pixels it gets through: `make bench-encoder`.

#[path = "../tests/traces/trace.rs"]
mod trace;

use afterglow_server::display::Encoder;
use afterglow_wire::quality::Quality;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use trace::{NAMES, Trace};

/// Fewer than criterion's own: a sample is a whole trace.
const SAMPLES: usize = 20;
const MEASURED_S: u64 = 4;

fn encode(criterion: &mut Criterion) {
    for (label, quality) in [("lossless", Quality::Lossless), ("auto", Quality::Auto)] {
        let mut group = criterion.benchmark_group(label);
        group.sample_size(SAMPLES).measurement_time(Duration::from_secs(MEASURED_S));
        NAMES.iter().for_each(|name| encode_trace(&mut group, name, quality));
        group.finish();
    }
}

/// The time is that of the mean frame; the bytes are four for each pixel that
/// was captured for it.
fn encode_trace(
    group: &mut BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    quality: Quality,
) {
    let trace = Trace::load(name);
    let frames = trace.frames.len();
    let parts = trace.frames.iter().flat_map(|frame| &frame.parts);
    let bytes: usize = parts.map(|part| part.pixels.len()).sum();
    group.throughput(Throughput::Bytes((bytes / frames) as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let sum: Duration = (0..times).map(|_| time(&trace, quality)).sum();
            sum / frames as u32
        });
    });
}

/// How long all frames take; the attachment's begin is none of it.
fn time(trace: &Trace, quality: Quality) -> Duration {
    let mut encoder = Encoder::new(trace.size, quality);
    let changed: Vec<_> = trace.frames.iter().map(trace::Frame::changed).collect();
    let began = Instant::now();
    for (frame, changed) in trace.frames.iter().zip(&changed) {
        black_box(encoder.encode(changed, frame, frame.at_ms));
    }
    began.elapsed()
}

criterion_group!(benches, encode);
criterion_main!(benches);

# What a person runs, and what CI runs. The first two do all of the set-up.
#
#   make demo       install what is missing, build, show what Afterglow does
#   make test       install what is missing, run every check and every test
#   make simulate   SEEDS=100000 evenings of failures in virtual time
#   make snapshots  record the golden pictures again
#   make fmt lint   only these parts of `make test`
#   make bench      measure how long a user waits when a host dies: KILLS hosts
#                   are killed, then a bad network is endured for SOAK_S seconds
#                   (KILLS=10 SOAK_S=0 is a short one); and what becomes of
#                   what somebody types meanwhile, in ROUNDS rounds (ROUNDS=3)
#   make bench-display
#                   measure how soon, with how many bytes and with how much work
#                   a session's picture comes to its user (SECS=3 is a short
#                   one, WORKLOADS=latency,letter only these); `make bench`
#                   does it, too
#   make bench-slow what a slow line does to that (KEYS=20 is a short one);
#                   `make bench` does it, too
#   make bench-encoder
#                   measure how long the encoder takes for each recorded trace
#   make bench-commands
#                   measure what each display command costs, start and pixels
#   make traces     record real programs' screens again (TRACES=editor only that
#                   one): tests/traces/README.md
#   make deny       licences, bans, sources, advisories (needs cargo-deny)
#   make fuzz       build the fuzz targets and run each for FUZZ_SECS seconds
#                   (needs nightly Rust and cargo-fuzz)

SHELL := /bin/sh
# Cargo builds here, wherever the variable points.
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
LOCKED := --locked
FUZZ_SECS ?= 10
SEEDS ?= 100000
TRACES ?= terminal,editor,pages,drag,video
FIRST ?= 0

.PHONY: demo test fmt lint build check snapshots deny fuzz simulate traces bench bench-failover bench-survival \
	bench-display bench-slow bench-encoder bench-commands

demo:
	@tests/setup.sh demo
	@echo "Building Afterglow in release; the first time this takes some minutes." >&2
	@cargo build $(LOCKED) --release --workspace --bins
	@$(TARGET)/release/afterglow-demo

bench: bench-failover bench-survival bench-display bench-slow bench-encoder bench-commands

bench-failover:
	@tests/setup.sh bench
	@cargo build $(LOCKED) --release --workspace --bins
	@$(TARGET)/release/afterglow-bench-failover

bench-survival:
	@tests/setup.sh bench
	@cargo build $(LOCKED) --release --workspace --bins
	@$(TARGET)/release/afterglow-bench-survival

bench-display:
	@tests/setup.sh bench
	@cargo build $(LOCKED) --release --workspace --bins
	@$(TARGET)/release/afterglow-bench-display

bench-slow:
	@tests/setup.sh bench
	@cargo build $(LOCKED) --release --workspace --bins
	@$(TARGET)/release/afterglow-bench-slow

bench-encoder:
	@cargo bench $(LOCKED) -p afterglow-server --bench encoder

bench-commands:
	@cargo bench $(LOCKED) -p afterglow-server --bench commands

# Clippy and the documentation share their artefacts, and so do the programs
# and the tests; there is one profile.
test:
	@tests/setup.sh test
	@$(MAKE) --no-print-directory fmt lint build check

fmt:
	cargo fmt --all --check

# The documentation is for those who work on the code, so it has private items.
lint:
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" \
		cargo doc $(LOCKED) --workspace --no-deps --document-private-items

# The end-to-end tests run the programs, so these are built first.
build:
	cargo build $(LOCKED) --workspace --all-targets

check:
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -ex; cargo nextest run $(LOCKED) --workspace --no-fail-fast; \
	else \
		set -ex; cargo test $(LOCKED) --workspace --all-targets --no-fail-fast; \
	fi
	cargo test $(LOCKED) --workspace --doc

# The last line is `simulate: seeds=N failures=N dtus_max=N trace=HEX`.
simulate:
	cargo build $(LOCKED) -p afterglow-simulation
	$(TARGET)/debug/afterglow-simulate --seeds $(SEEDS) --first $(FIRST)

snapshots:
	AFTERGLOW_RECORD_SNAPSHOTS=1 cargo test $(LOCKED) --workspace --test snapshots

# They want vim beside what the tests want.
traces:
	@tests/setup.sh test
	cargo build $(LOCKED) -p afterglow-tests --bin afterglow-test-drawing
	AFTERGLOW_RECORD_TRACES=$(TRACES) cargo test $(LOCKED) -p afterglow-server --test traces

deny:
	@cargo deny --version >/dev/null 2>&1 || \
		{ echo "afterglow: cargo-deny is missing: run 'cargo install --locked cargo-deny'." >&2; exit 1; }
	cargo deny --workspace check

fuzz:
	@cargo +nightly --version >/dev/null 2>&1 || \
		{ echo "afterglow: nightly Rust is missing: run 'rustup toolchain install nightly'." >&2; exit 1; }
	@cargo +nightly fuzz --version >/dev/null 2>&1 || \
		{ echo "afterglow: cargo-fuzz is missing: run 'cargo install --locked cargo-fuzz'." >&2; exit 1; }
	cd wire && cargo +nightly fuzz build
	@cd wire && for target in $$(cargo +nightly fuzz list); do \
		echo "fuzz: $$target, $(FUZZ_SECS) s"; \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECS) -verbosity=0 -print_final_stats=0 || exit 1; \
	done

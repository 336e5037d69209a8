# Bifrost: everything that is done with a checkout. `make help` lists it.

# A fresh machine may have cargo where the shell does not look yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The static binary: glibc linked in, no musl target needed.
STATIC_TARGET := x86_64-unknown-linux-gnu
STATIC_BINARY := target/$(STATIC_TARGET)/release/bifrost
# The models are a package of their own, with a lock file of their own.
MODEL         := --manifest-path tests/model/Cargo.toml --target-dir target/model --locked
CARGO         := cargo

.DEFAULT_GOAL := help
.PHONY: help run test check lint model e2e fuzz bench bench-quick bench-peers release clean need-cargo

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: need-cargo ## Build, start a server on 127.0.0.1 and say how to try it
	@$(CARGO) build --release --locked
	@exec target/release/bifrost demo

test: need-cargo ## Run the unit tests and the tests of the real binary
	$(CARGO) test --locked

lint: need-cargo ## Check the formatting, and clippy with warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

check: lint test ## lint, then test

model: need-cargo ## Try the orders in which threads may take turns in outbox, line and registry
	$(CARGO) fmt --check --manifest-path tests/model/Cargo.toml
	$(CARGO) clippy $(MODEL) --lib --tests --features loom -- -D warnings
	$(CARGO) clippy $(MODEL) --lib --tests --features shuttle -- -D warnings
	$(CARGO) test $(MODEL) --features loom
	$(CARGO) test $(MODEL) --features shuttle

e2e: release ## Run real clients against the static binary; installs what they need
	tests/e2e/run $(STATIC_BINARY)

fuzz: need-cargo ## Feed made-up input to what reads it, a minute each; FUZZ_SECONDS=1800 for more
	tests/fuzz/run

bench: need-cargo ## Measure against the physical limit; BENCH="--help" lists the options
	$(CARGO) bench --locked --bench bench -- $(BENCH)

bench-quick: need-cargo ## The same in a minute, for correctness only
	$(CARGO) bench --locked --bench bench -- --quick

bench-peers: need-cargo ## Measure nginx with nchan and Node's ws too; installs them
	tests/bench/peers/install
	$(CARGO) bench --locked --bench bench -- --scenario peers $(BENCH)

release: need-cargo ## Build the static binary, and prove that it is one
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --target $(STATIC_TARGET)
	@ldd $(STATIC_BINARY) 2>&1 | tee /dev/stderr | grep -Eq 'statically linked|not a dynamic executable'
	@ls -l $(STATIC_BINARY)

clean: ## Remove what was built
	rm -rf target tests/e2e/node_modules tests/e2e/.venv tests/e2e/artefacts tests/bench/peers/node_modules \
	  tests/fuzz/target tests/fuzz/corpus tests/fuzz/artifacts tests/fuzz/coverage

need-cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo is missing; install Rust 1.88 or later, with rustup (https://rustup.rs) or your distribution"; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "a C linker is missing; install one, on Debian: apt-get install gcc libc6-dev"; exit 1; }

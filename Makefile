# Bifrost: everything that is done with a checkout. `make help` lists it.

# A fresh machine may have cargo where the shell does not look yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The static binary: glibc linked in, no musl target needed.
STATIC_TARGET := x86_64-unknown-linux-gnu
STATIC_BINARY := target/$(STATIC_TARGET)/release/bifrost
# The models are a package of their own, with a lock file of their own.
MODEL         := --manifest-path tests/model/Cargo.toml --target-dir target/model --locked
CARGO         := cargo
CARGO_HOME    ?= $(HOME)/.cargo
VERSION       := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# What the release binary is built with. Where sources lie on this machine is kept out of it,
# so that two builds are the same to the byte.
# Relative relocations take 70 KB less when packed; a glibc before 2.36 can't read those.
PACKED := $(shell printf '2.36\n%s\n' "$$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)" | \
  sort -VC && echo "'-Clink-arg=-Wl,-z,pack-relative-relocs'")
RELEASE_FLAGS := '-Ctarget-feature=+crt-static' $(PACKED) \
  '--remap-path-prefix=$(CURDIR)=/bifrost' '--remap-path-prefix=$(CARGO_HOME)=/cargo'
# The time that all files of a release get: that of the last commit, or of the changelog.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)

# Where `make install` puts things; DESTDIR goes in front of all of them.
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SHARE       = $(DESTDIR)$(PREFIX)/share
MAN_PAGE    = $(SHARE)/man/man1/bifrost.1
COMPLETIONS = $(SHARE)/bash-completion/completions/bifrost $(SHARE)/zsh/site-functions/_bifrost \
  $(SHARE)/fish/vendor_completions.d/bifrost.fish
UNITS       = $(DESTDIR)$(UNITDIR)/bifrost.service $(DESTDIR)$(UNITDIR)/bifrost.socket
# Prints its man page and completions: another one than is installed, where that can't run.
SPEAKER    ?= $(STATIC_BINARY)

.DEFAULT_GOAL := help
.PHONY: help run test check lint deny model torture e2e fuzz bench bench-quick bench-peers static release \
  install uninstall clean need-cargo

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
	$(CARGO) clippy --locked --test torture -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

check: lint test ## lint, then test

deny: need-cargo ## Check licences, sources and versions of what we depend on; advisories where they can be had
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --locked check licenses bans sources
	@if $(CARGO) deny --locked fetch db 2>/dev/null; then $(CARGO) deny --locked check advisories; \
	  else echo "advisories: NOT checked, their database can't be fetched from here"; fi

torture: need-cargo ## Run the faults, floods and crowds; TORTURE=name runs some; needs root, and installs what they need
	tests/torture/install
	$(CARGO) test --locked --profile torture --features provoke-panic --test torture -- --test-threads=1 $(TORTURE)

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

static: need-cargo ## Build the static binary, and prove that it is one
	CARGO_ENCODED_RUSTFLAGS="$$(printf '%s\037' $(RELEASE_FLAGS) | sed 's/.$$//')" \
	  $(CARGO) build --release --locked --target $(STATIC_TARGET)
	@ldd $(STATIC_BINARY) 2>&1 | grep -E 'statically linked|not a dynamic executable'
	@$(STATIC_BINARY) --version
	@ls -l $(STATIC_BINARY)

release: static ## Pack it: an archive and a Debian package in target/dist
	rm -rf target/dist
	src/dist/pack $(VERSION) target/dist SPEAKER="$(SPEAKER)"
	@cd target/dist && sha256sum *

install: ## Install what `make static` built: PREFIX=/usr/local DESTDIR= SYSCONFDIR=/etc
	@test -x $(STATIC_BINARY) || { echo "$(STATIC_BINARY) is missing; build it with \`make static\`"; exit 1; }
	install -D -m 755 $(STATIC_BINARY) "$(DESTDIR)$(PREFIX)/bin/bifrost"
	install -d $(dir $(MAN_PAGE) $(COMPLETIONS) $(UNITS)) "$(DESTDIR)$(SYSCONFDIR)/bifrost"
	$(SPEAKER) man >$(MAN_PAGE)
	$(SPEAKER) completions bash >$(word 1,$(COMPLETIONS))
	$(SPEAKER) completions zsh >$(word 2,$(COMPLETIONS))
	$(SPEAKER) completions fish >$(word 3,$(COMPLETIONS))
	sed 's#/usr/local/bin/#$(PREFIX)/bin/#g; s#/etc/bifrost/#$(SYSCONFDIR)/bifrost/#g' \
	  src/server/systemd/bifrost.service >$(word 1,$(UNITS))
	cp src/server/systemd/bifrost.socket $(word 2,$(UNITS))
	chmod 644 $(MAN_PAGE) $(COMPLETIONS) $(UNITS)
	test -e "$(DESTDIR)$(SYSCONFDIR)/bifrost/bifrost.env" || \
	  install -m 644 src/dist/bifrost.env "$(DESTDIR)$(SYSCONFDIR)/bifrost/bifrost.env"
	@echo "next: put a secret into $(SYSCONFDIR)/bifrost/secret, mode 600; systemctl enable --now bifrost"

uninstall: ## Remove what `make install` put there, but not the settings and the secret
	rm -f "$(DESTDIR)$(PREFIX)/bin/bifrost" $(MAN_PAGE) $(COMPLETIONS) $(UNITS)
	@echo "left: $(SYSCONFDIR)/bifrost"

clean: ## Remove what was built
	rm -rf target tests/e2e/node_modules tests/e2e/.venv tests/e2e/.prometheus tests/e2e/artefacts tests/bench/peers/node_modules \
	  tests/fuzz/target tests/fuzz/corpus tests/fuzz/artifacts tests/fuzz/coverage

need-cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo is missing; install Rust 1.88 or later, with rustup (https://rustup.rs) or your distribution"; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "a C linker is missing; install one, on Debian: apt-get install gcc libc6-dev"; exit 1; }

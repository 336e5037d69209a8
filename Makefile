# Bifrost: building, testing, packing and installing from a checkout. `make help` lists the targets.

# rustup installs cargo here; a shell that was started before that does not search it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

CARGO        := cargo
RUSTC        ?= rustc
CARGO_HOME   ?= $(HOME)/.cargo
VERSION      := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RUST_VERSION := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# The target that rustc builds for by itself. PATH is passed on because make before 4.4 does not export to `shell`.
RUST_HOST    := $(shell PATH='$(PATH)' $(RUSTC) -vV 2>/dev/null | sed -n 's/^host: //p')

# The target of `make static` and `make release`: this machine, unless another is named, as in
#     make static STATIC_TARGET=aarch64-unknown-linux-gnu
# A static binary needs no musl target: the C library is linked in, whether glibc or musl.
STATIC_TARGET ?= $(RUST_HOST)
BUILT_BINARY  := target/$(STATIC_TARGET)/release/bifrost
# Where `make static` copies the binary, whatever the target.
STATIC_BINARY := target/static/bifrost
# The binary that prints the man pages and completions, where the one that was built can't run.
NATIVE        ?= $(STATIC_BINARY)

HOST_CPU      := $(firstword $(subst -, ,$(RUST_HOST)))
STATIC_CPU    := $(firstword $(subst -, ,$(STATIC_TARGET)))
# What Debian calls the processors that packages are made for.
DEBIAN_x86_64  := amd64
DEBIAN_aarch64 := arm64
DEBIAN_CPU     := $(DEBIAN_$(STATIC_CPU))

# A binary for another processor is linked by a cross compiler. The name is that of Debian and most distributions.
ifneq ($(STATIC_CPU),$(HOST_CPU))
LINKER_VARIABLE := CARGO_TARGET_$(shell echo '$(STATIC_TARGET)' | tr 'a-z-' 'A-Z_')_LINKER
export $(LINKER_VARIABLE) ?= $(STATIC_CPU)-linux-gnu-gcc
ifdef DEBIAN_CPU
CROSS_PACKAGES := , on Debian: apt-get install gcc-$(subst _,-,$(STATIC_CPU))-linux-gnu libc6-dev-$(DEBIAN_CPU)-cross
endif
endif

# Relative relocations make the binary for x86-64 70 KB smaller. glibc applies them from 2.36 on; the version of a
# cross compiler's glibc is not known. A static binary for aarch64 has no relocations to pack.
ifeq ($(STATIC_TARGET),$(filter x86_64-%-gnu,$(RUST_HOST)))
RELATIVE_RELOCATIONS := $(shell printf '2.36\n%s\n' "$$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)" | \
  sort -VC && echo "'-Clink-arg=-Wl,-z,pack-relative-relocs'")
endif
# The flags of the release binary. The paths of this machine are replaced, so that a build in another folder has
# the same bytes.
RELEASE_FLAGS := '-Ctarget-feature=+crt-static' $(RELATIVE_RELOCATIONS) \
  '--remap-path-prefix=$(CURDIR)=/bifrost' '--remap-path-prefix=$(CARGO_HOME)=/cargo'
# The modification time of all files in a release: the last commit's or, without git, the changelog's.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)

# The models have a package and a lock file of their own.
MODEL := --manifest-path tests/model/Cargo.toml --target-dir target/model --locked

# Where `make install` puts the files. DESTDIR is prepended to all paths, for packing.
PREFIX      ?= /usr/local
SYSCONFDIR  ?= /etc
UNITDIR     ?= $(PREFIX)/lib/systemd/system
SHARE        = $(DESTDIR)$(PREFIX)/share
# The man pages. `bifrost man` prints bifrost.1, and `bifrost man NAME` prints bifrost-NAME.7.
MAN_PAGES   := bifrost.1 $(patsubst src/manual/%.md,bifrost-%.7,$(wildcard src/manual/*.md))
MAN_FILES    = $(foreach page,$(MAN_PAGES),$(SHARE)/man/man$(patsubst .%,%,$(suffix $(page)))/$(page))
COMPLETIONS  = $(SHARE)/bash-completion/completions/bifrost $(SHARE)/zsh/site-functions/_bifrost \
  $(SHARE)/fish/vendor_completions.d/bifrost.fish
# The folder of the unit files in the checkout.
UNIT_SOURCE := src/server/systemd
UNITS        = $(DESTDIR)$(UNITDIR)/bifrost.service $(DESTDIR)$(UNITDIR)/bifrost.socket

.DEFAULT_GOAL := help
.PHONY: help run test check lint deny model torture e2e fuzz bench bench-quick bench-peers manual static release \
  install uninstall clean need-cargo need-linker need-dpkg

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: need-cargo ## Build, start a server on 127.0.0.1 and say how to try it
	@$(CARGO) build --release --locked --target-dir target
	@exec target/release/bifrost demo

test: need-cargo ## Run the unit tests and the tests of the real binary
	$(CARGO) test --locked

lint: need-cargo ## Check the formatting, and clippy with warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --test torture -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

check: lint test ## Run lint, then test

deny: need-cargo ## Check the dependencies: licences, sources, versions, and advisories if they can be fetched
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --locked check licenses bans sources
	@if $(CARGO) deny --locked fetch db 2>/dev/null; then $(CARGO) deny --locked check advisories; \
	  else echo "advisories: NOT checked, the database can't be fetched from here"; fi

torture: need-cargo ## Run the stress and fault tests; TORTURE=NAME selects some; needs root, installs packages
	tests/torture/install
	$(CARGO) test --locked --profile torture --features provoke-panic --test torture -- --test-threads=1 $(TORTURE)

model: need-cargo ## Explore the thread interleavings of send queue, batcher and hub, with loom and shuttle
	$(CARGO) fmt --check --manifest-path tests/model/Cargo.toml
	$(CARGO) clippy $(MODEL) --lib --tests --features loom -- -D warnings
	$(CARGO) clippy $(MODEL) --lib --tests --features shuttle -- -D warnings
	$(CARGO) test $(MODEL) --features loom
	$(CARGO) test $(MODEL) --features shuttle

e2e: release ## Run real clients against the static binary; installs packages
	tests/e2e/run $(STATIC_BINARY)

fuzz: need-cargo ## Fuzz the parsers, a minute each; FUZZ_SECONDS=1800 for longer
	tests/fuzz/run

bench: need-cargo ## Measure against the limit of the machine; BENCH="--help" lists the options
	$(CARGO) bench --locked --bench bench -- $(BENCH)

bench-quick: need-cargo ## Run the benchmark for a minute, to check its results and not its times
	$(CARGO) bench --locked --bench bench -- --quick

bench-peers: need-cargo ## Measure nginx with nchan and Node's ws too; installs both
	tests/bench/peers/install
	$(CARGO) bench --locked --bench bench -- --scenario peers $(BENCH)

manual: need-cargo ## Write the manual's page of settings anew from the settings table
	BIFROST_UPDATE_MANUAL=1 $(CARGO) test --locked --lib settings_page

static: need-cargo need-linker ## Build the static binary target/static/bifrost; STATIC_TARGET=... for another machine
	CARGO_ENCODED_RUSTFLAGS="$$(printf '%s\037' $(RELEASE_FLAGS) | sed 's/.$$//')" \
	  $(CARGO) build --release --locked --target-dir target --target $(STATIC_TARGET)
	@# A static binary names no program interpreter and no shared library. ldd can't tell for another processor.
	@headers=$$(LC_ALL=C readelf --wide --program-headers --dynamic $(BUILT_BINARY)) || exit 1; \
	  if echo "$$headers" | grep -E '^ *INTERP|\(NEEDED\)'; then echo "$(BUILT_BINARY) is not static"; exit 1; fi
	@echo "statically linked, for $(STATIC_TARGET)"
	@install -D -m 755 $(BUILT_BINARY) $(STATIC_BINARY)
	@if [ '$(STATIC_CPU)' = '$(HOST_CPU)' ]; then $(STATIC_BINARY) --version; fi
	@ls -l $(STATIC_BINARY)

release: need-dpkg static ## Pack the static binary: an archive and a Debian package in target/dist
	rm -rf target/dist
	src/dist/pack $(VERSION) $(STATIC_CPU) $(DEBIAN_CPU) target/dist NATIVE="$(NATIVE)"
	@cd target/dist && sha256sum *

install: ## Install what `make static` built; PREFIX=/usr/local SYSCONFDIR=/etc DESTDIR= are the defaults
	@test -x $(STATIC_BINARY) || { echo "$(STATIC_BINARY) is missing; build it with \`make static\`"; exit 1; }
	@$(NATIVE) --version >/dev/null 2>&1 || { \
	  echo "$(NATIVE) can't run here, to print the man pages and completions; name a bifrost of the same"; \
	  echo "version that can: \`cargo build --release\`, then add NATIVE=target/release/bifrost"; exit 1; }
	install -D -m 755 $(STATIC_BINARY) "$(DESTDIR)$(PREFIX)/bin/bifrost"
	install -d $(sort $(dir $(MAN_FILES) $(COMPLETIONS) $(UNITS))) "$(DESTDIR)$(SYSCONFDIR)/bifrost"
	set -e; for file in $(MAN_FILES); do \
	  name=$${file##*/bifrost}; name=$${name%.*}; $(NATIVE) man $${name#-} >"$$file"; done
	$(NATIVE) completions bash >$(word 1,$(COMPLETIONS))
	$(NATIVE) completions zsh >$(word 2,$(COMPLETIONS))
	$(NATIVE) completions fish >$(word 3,$(COMPLETIONS))
	sed 's#/usr/local/bin/#$(PREFIX)/bin/#g; s#/etc/bifrost/#$(SYSCONFDIR)/bifrost/#g' \
	  $(UNIT_SOURCE)/bifrost.service >$(word 1,$(UNITS))
	cp $(UNIT_SOURCE)/bifrost.socket $(word 2,$(UNITS))
	chmod 644 $(MAN_FILES) $(COMPLETIONS) $(UNITS)
	test -e "$(DESTDIR)$(SYSCONFDIR)/bifrost/bifrost.env" || \
	  install -m 644 src/dist/bifrost.env "$(DESTDIR)$(SYSCONFDIR)/bifrost/bifrost.env"
	@echo "next: put a secret into $(SYSCONFDIR)/bifrost/secret, mode 600; systemctl enable --now bifrost"

uninstall: ## Remove what `make install` installed, except the settings and the secret
	rm -f "$(DESTDIR)$(PREFIX)/bin/bifrost" $(MAN_FILES) $(COMPLETIONS) $(UNITS)
	@echo "kept: $(SYSCONFDIR)/bifrost"

clean: ## Remove everything that was built or installed into the checkout
	rm -rf target tests/e2e/node_modules tests/e2e/.venv tests/e2e/.prometheus tests/e2e/artefacts \
	  tests/bench/peers/node_modules tests/fuzz/target tests/fuzz/corpus tests/fuzz/artifacts tests/fuzz/coverage

# What the targets need that may be missing, each named with its cure.
INSTALL_RUST := install Rust $(RUST_VERSION) or later, with rustup (https://rustup.rs) or your distribution
need-cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo is missing; $(INSTALL_RUST)"; exit 1; }
	@version=$$($(CARGO) --version) || exit 1; version=$${version#cargo }; version=$${version%% *}; \
	printf '%s\n' '$(RUST_VERSION)' "$$version" | sort -Vc >/dev/null 2>&1 || { \
	  echo "cargo $$version is too old; run \`rustup update stable\`, or $(INSTALL_RUST)"; exit 1; }
	@case '$(RUST_HOST)' in \
	  *-linux-*) ;; \
	  '') echo "$(RUSTC) is missing or does not run; $(INSTALL_RUST)"; exit 1 ;; \
	  *) echo "Bifrost runs on Linux only; $(RUSTC) here builds for $(RUST_HOST)"; exit 1 ;; esac
	@command -v cc >/dev/null || { \
	  echo "a C linker is missing; install one, on Debian: apt-get install gcc libc6-dev"; exit 1; }

# A build for this machine's own processor needs cc and, with glibc, its static library, which some distributions
# pack on its own. rustc brings musl's. A build for another processor needs a cross compiler.
need-linker: need-cargo
ifdef LINKER_VARIABLE
	@command -v $($(LINKER_VARIABLE)) >/dev/null || { \
	  echo "$($(LINKER_VARIABLE)), the linker for $(STATIC_TARGET), is missing; install it$(CROSS_PACKAGES)," \
	    "or name another in $(LINKER_VARIABLE)"; exit 1; }
else ifneq ($(findstring -linux-gnu,$(STATIC_TARGET)),)
	@test -e "$$(cc -print-file-name=libc.a)" || { \
	  echo "libc.a, the static C library, is missing; install it, on Debian: apt-get install libc6-dev," \
	    "on Fedora: dnf install glibc-static"; exit 1; }
endif

need-dpkg: need-cargo
	@test -n '$(DEBIAN_CPU)' || { \
	  echo "no package is made for $(STATIC_TARGET), only for x86_64 and aarch64; \`make static\` and \`make install\`" \
	    "may still work"; exit 1; }
	@command -v dpkg-deb >/dev/null || { \
	  echo "dpkg-deb is missing; install it, on most distributions as the package dpkg; or install without it:" \
	    "\`make static\`, then \`make install\`"; exit 1; }

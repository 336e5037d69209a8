#!/usr/bin/env bash
# A second release, built from scratch from a copy of the sources in another folder
# and with another CARGO_HOME: its files have to have the same bytes.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

SOURCE_DATE_EPOCH=$(cd ../.. && make --no-print-directory --eval='epoch:; @echo $(SOURCE_DATE_EPOCH)' epoch)
copy="$DIRECTORY/another folder"
mkdir "$copy" "$DIRECTORY/cargo"
(cd ../.. && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory="$copy")
# The downloaded sources of the crates; it holds nothing that was built.
ln -s "${CARGO_HOME:-$HOME/.cargo}/registry" "$DIRECTORY/cargo/registry"

echo "- two releases have the same bytes"
cd "$copy"
env -u CARGO_TARGET_DIR -u MAKEFLAGS SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" CARGO_HOME="$DIRECTORY/cargo" \
  nice make --no-print-directory release
expect "$(cd "$copy/target/dist" && sha256sum *)" "$(cd "$DIST" && sha256sum *)"

echo "- the binary has no path of the machine that built it"
! grep --text -F -e "$DIRECTORY" -e "${CARGO_HOME:-$HOME/.cargo}" "$BIFROST" >/dev/null || fail "it has one"

#!/usr/bin/env bash
# A second release from a copy of the sources, in another folder and with cargo's
# home elsewhere, nothing built before: it has to have the same bytes.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

SOURCE_DATE_EPOCH=$(cd ../.. && make --no-print-directory --eval='epoch:; @echo $(SOURCE_DATE_EPOCH)' epoch)
copy="$DIRECTORY/another folder"
mkdir "$copy" "$DIRECTORY/cargo"
(cd ../.. && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory="$copy")
# The sources of crates only; what was built from them is in target folders.
ln -s "${CARGO_HOME:-$HOME/.cargo}/registry" "$DIRECTORY/cargo/registry"

echo "- two releases are the same to the byte"
cd "$copy"
env -u CARGO_TARGET_DIR -u MAKEFLAGS SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" CARGO_HOME="$DIRECTORY/cargo" \
  nice make --no-print-directory release
expect "$(cd "$copy/target/dist" && sha256sum *)" "$(cd "$DIST" && sha256sum *)"

echo "- the binary does not know where it was built"
! grep --text -F -e "$DIRECTORY" -e "${CARGO_HOME:-$HOME/.cargo}" "$BIFROST" >/dev/null || fail "it does"

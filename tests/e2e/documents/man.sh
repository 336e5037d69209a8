#!/usr/bin/env bash
# Every man page: groff and man format it without a warning.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

# warns FILE: what is wrong with a page.
warns() {
  groff -man -ww -z -Tutf8 -rLL=80n "$1" 2>&1
  man --warnings --local-file "$1" 2>&1 >/dev/null
}

echo "- bifrost.1"
"$BIFROST" man >"$DIRECTORY/bifrost.1"
# clap_mangen's own source has paragraphs of width 0, of which groff -ww complains.
expect "$(man --warnings --local-file "$DIRECTORY/bifrost.1" 2>&1 >/dev/null)" ""

pages=$("$BIFROST" man --list)
[[ $pages == *protocol* ]] || fail "there is no list of pages: $pages"
for page in $pages; do
  echo "- bifrost-$page.7"
  "$BIFROST" man "$page" >"$DIRECTORY/bifrost-$page.7"
  expect "$(warns "$DIRECTORY/bifrost-$page.7")" ""
done

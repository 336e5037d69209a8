#!/usr/bin/env bash
# What systemd-analyze thinks of the units that the binary prints.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

# The exposure that the unit may have at most, in tenths.
readonly THRESHOLD=15

"$BIFROST" unit service | sed "s#/usr/local/bin/bifrost#$BIFROST#" >"$DIRECTORY/bifrost.service"
"$BIFROST" unit socket >"$DIRECTORY/bifrost.socket"

echo "- the units are well-formed"
# There is a warning, and status 0, for a key that systemd does not know.
expect "$(systemd-analyze verify --man=no "$DIRECTORY"/bifrost.{service,socket} 2>&1)" ''

echo "- the service is exposed little"
systemd-analyze security --offline=true --no-pager --threshold="$THRESHOLD" "$DIRECTORY/bifrost.service"

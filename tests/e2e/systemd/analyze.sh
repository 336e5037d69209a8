#!/usr/bin/env bash
# systemd-analyze accepts the units that the binary prints, and their exposure is low.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

# The highest exposure that the unit may have, in tenths.
readonly THRESHOLD=15

"$BIFROST" unit service | sed "s#/usr/local/bin/bifrost#$BIFROST#" >"$DIRECTORY/bifrost.service"
"$BIFROST" unit socket >"$DIRECTORY/bifrost.socket"

echo "- the units are well-formed"
# systemd-analyze only warns, with status 0, of a key that systemd does not know.
expect "$(systemd-analyze verify --man=no "$DIRECTORY"/bifrost.{service,socket} 2>&1)" ''

echo "- the service is exposed little"
systemd-analyze security --offline=true --no-pager --threshold="$THRESHOLD" "$DIRECTORY/bifrost.service"

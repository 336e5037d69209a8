#!/usr/bin/env bash
# The static binary as in an image `FROM scratch`: alone in its root folder, process 1,
# an unprivileged user, settings from the environment. Needs root.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

root=$DIRECTORY/image
mkdir "$root"
cp "$BIFROST" "$root/bifrost"
mkfifo "$DIRECTORY/log"

env --ignore-environment PATH="$PATH" HOST=127.0.0.1 PORT=0 JWT_SECRET="$SECRET" \
  unshare --pid --fork --kill-child \
  chroot --userspec=65534:65534 "$root" /bifrost 2>"$DIRECTORY/log" &
PROCESSES+=($!)
exec {log}<"$DIRECTORY/log"
while read -r -t "$DEADLINE" -u "$log" line || fail "it doesn't say where it listens"; do
  echo "$line"
  [[ ! $line =~ pid=([0-9]+) ]] || expect "${BASH_REMATCH[1]}" 1
  [[ ! $line =~ listening\ addr=([0-9.:]+) ]] || break
done
ADDRESS=${BASH_REMATCH[1]}

echo "- it delivers"
start_subscriber news
answer=$(curl --silent --show-error --max-time "$DEADLINE" \
  -d "token=$(sign '{"channel":"news","message":{"n":1}}')" "http://$ADDRESS/broadcast")
expect "$answer" '{"message":"Success","deliveries":1}'
expect "$(next_message)" '{"n":1}'

echo "- as process 1 it ends on SIGTERM too, with status 0"
unshare=${PROCESSES[0]}
kill -TERM "$(<"/proc/$unshare/task/$unshare/children")"
wait "$unshare" || fail "its exit status is $?"
expect "$(cd "$root" && find . -mindepth 1)" ./bifrost

#!/usr/bin/env bash
# The commands of "On a VPS in five minutes" in the manual, unchanged, on a machine that systemd has
# booted, until a message arrives through wss://; then restarts during which no broadcast fails.
# There is no network to fetch a certificate from: Caddy makes one of its own, and its package is
# installed before.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"
# shellcheck source=../systemd/machine.sh
. "$(dirname "$0")/../systemd/machine.sh"

readonly MANUAL=$PWD/../../src/manual/deploying.md
readonly AUTHORITY=/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt

# The commands of the section.
commands() {
  # shellcheck disable=SC2016 # these are Markdown's
  sed -n '/^## On a VPS in five minutes$/,/^## /p' "$MANUAL" | sed -n '/^```sh$/,/^```$/ { /^```/d; p }'
}

# What the machine has in place of sudo and curl.
stand_ins() {
  cat <<'STAND_INS'
set -euxo pipefail
cd /mnt
sudo() {
  case $* in
    "apt install caddy") apt install --yes caddy && systemctl start caddy ;; # as it would after a first installation
    "tee "*) { printf '{\n\tlocal_certs\n}\n' && cat; } | "$@" ;;
    *) "$@" ;;
  esac
}
curl() {
  # Until the certificate is made.
  command curl --silent --show-error --fail --max-time 30 --retry 30 --retry-delay 1 --retry-all-errors \
    --insecure --resolve bifrost.example.com:443:127.0.0.1 "$@"
}
STAND_INS
}

run_commands() {
  commands >"$DIRECTORY/commands"
  local words
  for words in '^sudo apt install ./bifrost_' '^sudo apt install caddy$' '^sudo tee ' '^curl -d '; do
    grep -q "$words" "$DIRECTORY/commands" ||
      fail "$MANUAL has no command with $words under \"On a VPS in five minutes\""
  done
  { stand_ins && cat "$DIRECTORY/commands"; } >"$SHARED/commands"
  inside bash /mnt/commands </dev/null | tee "$DIRECTORY/output"
}

# What it receives is read with next_message.
subscribe() {
  inside cp "$AUTHORITY" /mnt/authority.pem
  mkfifo "$DIRECTORY/messages"
  beside .venv/bin/python proxy/listen.py "$SHARED/authority.pem" "$SECRET" news \
    >"$DIRECTORY/messages" &
  PROCESSES+=($!)
  exec {messages}<"$DIRECTORY/messages"
  expect "$(next_message)" subscribed
}

# The last command of the section, which broadcasts.
broadcast_as_it_says() {
  { stand_ins && sed -n '/^curl -d/,$p' "$DIRECTORY/commands"; } >"$SHARED/broadcast"
  expect "$(inside bash /mnt/broadcast </dev/null)" '{"message":"Success","deliveries":1}'
}

# Broadcasts through Caddy until there is a file OVER; fails if one of them does.
stream() {
  local token count=0
  token=$(sign '{"channel":"nobody","message":{}}')
  until [[ -e $DIRECTORY/over ]]; do
    beside curl --silent --show-error --fail --max-time "$DEADLINE" --output /dev/null \
      --cacert "$SHARED/authority.pem" --resolve bifrost.example.com:443:127.0.0.1 \
      -d "token=$token" https://bifrost.example.com/broadcast || return
    count=$((count + 1))
  done
  echo "  $count broadcasts"
  ((count > 10))
}

restart_in_a_stream() {
  local streams=() stream
  for _ in 1 2 3; do
    stream &
    streams+=($!)
  done
  for _ in 1 2 3; do
    sleep 0.5 # of the stream
    inside systemctl restart bifrost.service
  done
  sleep 0.5
  touch "$DIRECTORY/over"
  for stream in "${streams[@]}"; do
    wait "$stream" || fail "a broadcast failed"
  done
}

cp "$DIST"/bifrost_*.deb "$SHARED"
start_machine

echo "- the commands work"
run_commands
grep -F '{"status":"ok"}' "$DIRECTORY/output"
grep -F '"connected":0' "$DIRECTORY/output"
grep -F '{"message":"Success","deliveries":0}' "$DIRECTORY/output"

echo "- a subscriber of wss:// gets what curl sends to https://"
SECRET=$(inside cat /etc/bifrost/secret)
subscribe
broadcast_as_it_says
expect "$(next_message)" '{"event":"hi"}'

echo "- restarts of the service fail no broadcast, and the subscriber is told"
restart_in_a_stream
expect "$(next_message)" 1012

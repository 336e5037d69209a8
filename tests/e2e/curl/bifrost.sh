# shellcheck shell=bash
# Shared by the shell checks: a server under test, a subscriber, and JSON Web Tokens
# signed with openssl. Sourced, not run.

# Seconds that no single wait may last; far more than a slow machine needs.
readonly DEADLINE=30

SECRET=$(openssl rand -hex 48)
DIRECTORY=$(mktemp -d)
PROCESSES=()
trap clean_up EXIT
trap 'exit 1' TERM

clean_up() {
  kill -KILL "${PROCESSES[@]}" || true
  wait # for the end of the log
  rm -rf "$DIRECTORY"
} 2>/dev/null

fail() {
  echo "$*" >&2
  exit 1
}

expect() {
  [[ $1 == "$2" ]] || fail "'$1' is not '$2'"
}

base64url() {
  openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# sign CLAIMS: a token with these claims, which are JSON text.
sign() {
  local signed
  signed=$(printf '{"alg":"HS512","typ":"JWT"}' | base64url).$(printf '%s' "$1" | base64url)
  printf '%s.%s' "$signed" "$(printf '%s' "$signed" | openssl dgst -sha512 -hmac "$SECRET" -binary | base64url)"
}

# Starts `bifrost serve` on a free port; sets ADDRESS, and METRICS_ADDRESS if there
# are metrics.
start_server() {
  local line
  mkfifo "$DIRECTORY/log"
  (cd "$DIRECTORY" && HOST=127.0.0.1 PORT=0 JWT_SECRET=$SECRET exec "$BIFROST" serve 2>log) &
  PROCESSES+=($!)
  exec {log}<"$DIRECTORY/log"
  while read -r -t "$DEADLINE" -u "$log" line || fail "the server doesn't say where it listens"; do
    echo "$line" >&2
    [[ ! $line =~ (metrics )?listening\ addr=([0-9.:]+) ]] || {
      [[ -z ${BASH_REMATCH[1]} ]] || METRICS_ADDRESS=${BASH_REMATCH[2]}
      [[ -n ${BASH_REMATCH[1]} ]] || ADDRESS=${BASH_REMATCH[2]}
      [[ -n ${BIFROST_METRICS_ADDR:-} && -z ${BASH_REMATCH[1]} ]] || break
    }
  done
  cat <&"$log" >&2 &
}

# start_subscriber CHANNEL: what it receives is read with next_message.
start_subscriber() {
  mkfifo "$DIRECTORY/messages"
  node "$(dirname "${BASH_SOURCE[0]}")/../node/listen.mjs" "$ADDRESS" "$SECRET" "$1" >"$DIRECTORY/messages" &
  PROCESSES+=($!)
  exec {messages}<"$DIRECTORY/messages"
  expect "$(next_message)" subscribed
}

next_message() {
  local line
  read -r -t "$DEADLINE" -u "$messages" line || fail "no message within $DEADLINE s"
  printf '%s' "$line"
}

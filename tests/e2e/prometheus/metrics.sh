#!/usr/bin/env bash
# The metrics and the manual's settings for Prometheus: Debian's promtool accepts both, and a
# Prometheus server scrapes the metrics and evaluates the alarms.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"

# ask CURL-ARGUMENTS...: curl, silent, with a deadline.
ask() {
  curl --silent --show-error --fail --max-time "$DEADLINE" "$@"
}

readonly MANUAL=$PWD/../../src/manual/operating.md

# example WORD: the manual's YAML block that contains this word.
example() {
  local text
  text=$(awk -v word="$1" '
    /^```yaml$/ { inside = 1; text = ""; next }
    inside && /^```$/ { inside = 0; if (index(text, word)) printf "%s", text; next }
    inside { text = text $0 "\n" }
  ' "$MANUAL")
  [[ -n $text ]] || fail "$MANUAL has no YAML block with $1"
  printf '%s\n' "$text"
}

# Starts Prometheus on a free port, to ask every second; sets PROMETHEUS_ADDRESS.
start_prometheus() {
  local line
  mkfifo "$DIRECTORY/prometheus"
  "$PROMETHEUS" --config.file="$DIRECTORY/prometheus.yml" --storage.tsdb.path="$DIRECTORY/data" \
    --web.listen-address=127.0.0.1:0 2>"$DIRECTORY/prometheus" >&2 &
  PROCESSES+=($!)
  exec {prometheus}<"$DIRECTORY/prometheus"
  while read -r -t "$DEADLINE" -u "$prometheus" line || fail "Prometheus doesn't say where it listens"; do
    echo "$line" >&2
    [[ ! $line =~ \"Listening\ on\"\ address=([0-9.:]+) ]] || break
  done
  PROMETHEUS_ADDRESS=${BASH_REMATCH[1]}
  cat <&"$prometheus" >&2 &
}

# query PROMQL: the value of the one series that it gives.
query() {
  ask --get "http://$PROMETHEUS_ADDRESS/api/v1/query" --data-urlencode "query=$1" |
    jq --raw-output '.data.result | if length == 1 then .[0].value[1] else "\(length) series" end'
}

# eventually_is VALUE PROMQL: Prometheus has asked when this is so.
eventually_is() {
  local deadline=$((SECONDS + DEADLINE)) value
  until value=$(query "$2") && [[ $value == "$1" ]]; do
    ((SECONDS < deadline)) || fail "$2 is $value, not $1"
    sleep 0.1
  done
}

rules_are_well() {
  local health
  health=$(ask "http://$PROMETHEUS_ADDRESS/api/v1/rules" | jq --raw-output '[.data.groups[].rules[].health] | join(" ")')
  [[ $health == "ok ok ok" ]]
}

BIFROST_METRICS_ADDR=127.0.0.1:0 start_server
start_subscriber news
broadcast=http://$ADDRESS/broadcast
token=$(sign '{"channel":"news","message":{"n":1}}')
for _ in 1 2 3; do
  expect "$(ask -d "token=$token" "$broadcast")" '{"message":"Success","deliveries":1}'
  expect "$(next_message)" '{"n":1}'
done
expect "$(curl --silent --max-time "$DEADLINE" -d "token=x$token" "$broadcast")" '{"error":"Bad signature"}'

echo "- promtool has nothing to complain about"
ask "http://$METRICS_ADDRESS/metrics" >"$DIRECTORY/page"
expect "$("$PROMTOOL" check metrics <"$DIRECTORY/page" 2>&1)" ''
! printf '# TYPE wrong counter\nwrong 1\n' | "$PROMTOOL" check metrics || fail "promtool puts up with everything"

echo "- promtool accepts the manual's settings"
example groups: >"$DIRECTORY/rules.yml"
"$PROMTOOL" check rules "$DIRECTORY/rules.yml"
{
  printf 'global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n'
  example scrape_configs: | sed "s/127\.0\.0\.1:[0-9]*/$METRICS_ADDRESS/"
} >"$DIRECTORY/prometheus.yml"
grep -F "$METRICS_ADDRESS" "$DIRECTORY/prometheus.yml"
"$PROMTOOL" check config "$DIRECTORY/prometheus.yml"

echo "- a Prometheus server asks, and knows"
start_prometheus
eventually_is 1 'up{job="bifrost"}'
eventually_is 3 'bifrost_deliveries_total'
expect "$(query 'bifrost_broadcasts_total{result="sent"}')" 3
expect "$(query 'bifrost_broadcasts_total{result="bad_request"}')" 1
expect "$(query 'sum(bifrost_auth_failures_total)')" 1
expect "$(query 'bifrost_broadcast_duration_seconds_count')" 4
expect "$(query 'histogram_quantile(1, bifrost_broadcast_duration_seconds_bucket) > bool 0')" 1
expect "$(query 'process_start_time_seconds > bool time() - 3600')" 1
expect "$(ask -d "token=$token" "$broadcast")" '{"message":"Success","deliveries":1}'
eventually_is 4 'bifrost_deliveries_total'

echo "- the alarms are evaluated"
deadline=$((SECONDS + DEADLINE))
until rules_are_well; do
  ((SECONDS < deadline)) || fail "the rules are not well: $(ask "http://$PROMETHEUS_ADDRESS/api/v1/rules")"
  sleep 0.1
done

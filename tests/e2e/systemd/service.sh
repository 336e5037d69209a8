#!/usr/bin/env bash
# The Debian package on a machine that systemd has booted, from installation to
# purge: the service runs under all that its unit takes from it, restarts without
# a failed broadcast, and is restarted when it hangs.
set -euo pipefail
# shellcheck source=../curl/bifrost.sh
. "$(dirname "$0")/../curl/bifrost.sh"
# shellcheck source=machine.sh
. "$(dirname "$0")/machine.sh"

ADDRESS=127.0.0.1:3000

main() {
  cp "$DIST"/bifrost_*.deb "$SHARED/bifrost.deb"
  start_machine
  installs_and_starts
  serves
  is_confined
  makes_no_call_that_is_denied
  tells_its_metrics
  reloads_without_a_failed_broadcast
  rotates_its_secret
  stays_as_it_is_when_a_reload_is_wrong
  restarts_without_a_failed_broadcast
  drains_longer_than_the_unit_says
  is_restarted_when_it_hangs
  is_not_started_again_with_a_wrong_setting
  upgrades_without_a_failed_broadcast
  logged_nothing_bad
  is_removed_and_purged
}

main_process() {
  property bifrost.service MainPID
}

# outer PROCESS: the id on the host of a process in the machine.
outer() {
  local status
  for status in /proc/[0-9]*/status; do
    awk -v "inner=$1" '/^NSpid:/ && NF == 3 && $3 == inner { found = 1 } END { exit !found }' "$status" 2>/dev/null || continue
    cmp --quiet "${status%/status}/exe" "$BIFROST" || continue
    status=${status%/status}
    echo "${status#/proc/}"
    return
  done
  fail "process $1 is not to be found"
}

installs_and_starts() {
  echo "- the package installs, is enabled and runs"
  inside dpkg --install /mnt/bifrost.deb
  local unit
  for unit in bifrost.socket bifrost.service; do
    expect "$(inside systemctl is-enabled "$unit")" enabled
    expect "$(inside systemctl is-active "$unit")" active
  done
  expect "$(inside stat --format '%a %U %s' /etc/bifrost/secret)" '600 root 129'
  SECRET=$(inside cat /etc/bifrost/secret)
}

# Sets SUBSCRIBER.
subscribe() {
  rm -f "$DIRECTORY/messages"
  mkfifo "$DIRECTORY/messages"
  nsenter --target "$INIT" --net node node/listen.mjs "$ADDRESS" "$SECRET" "$1" >"$DIRECTORY/messages" &
  SUBSCRIBER=$!
  PROCESSES+=("$SUBSCRIBER")
  exec {messages}<"$DIRECTORY/messages"
  expect "$(next_message)" subscribed
}

broadcast() {
  beside curl --silent --show-error --max-time "$DEADLINE" \
    -d "token=$(sign '{"channel":"news","message":{"n":1}}')" "http://$ADDRESS/broadcast"
}

status_says() {
  [[ $(property bifrost.service StatusText) == "$1" ]]
}

serves() {
  echo "- it serves on the socket, and its status counts"
  subscribe news
  expect "$(broadcast)" '{"message":"Success","deliveries":1}'
  expect "$(next_message)" '{"n":1}'
  eventually status_says 'connected: 1, channels: 1, deliveries: 1'
  kill "$SUBSCRIBER"
  eventually status_says 'connected: 0, channels: 0, deliveries: 1'
  inside journalctl --unit bifrost --output cat | grep -F 'socket inherited unused="HOST, PORT"'
}

is_confined() {
  echo "- it has no privilege, a filter on system calls, and sees nothing of others"
  local process status
  process=$(outer "$(main_process)")
  status=$(<"/proc/$process/status")
  grep -Fx $'Seccomp:\t2' <<<"$status"
  grep -Fx $'NoNewPrivs:\t1' <<<"$status"
  grep -Fx $'CapEff:\t0000000000000000' <<<"$status"
  grep -Fx $'CapBnd:\t0000000000000000' <<<"$status"
  ((61184 <= $(stat --format %u "/proc/$process") )) || fail "it runs as a user that is not dynamic"
  local namespace
  for namespace in user mnt ipc uts; do
    [[ $(readlink "/proc/$process/ns/$namespace") != $(readlink "/proc/$INIT/ns/$namespace") ]] ||
      fail "it shares its $namespace namespace"
  done
  # The service sees read-only files, no home folders, and no processes but its own.
  local root=/proc/$process/root
  expect "$(awk '$2 == "/" { print substr($4, 1, 2) }' "/proc/$process/mounts")" ro
  expect "$(ls -A "$root/root" "$root/home" 2>/dev/null | grep -c .)" 2
  [[ ! -e $root/proc/uptime ]] || fail "it sees /proc/uptime"
  [[ ! -e $root/dev/kmsg && ! -e $root/dev/vda ]] || fail "it sees devices"
  grep -E '^Max core file size +0 +0' "/proc/$process/limits"
  # The limit that the unit asks for: a process may get less where not even root may raise limits.
  expect "$(property bifrost.service LimitNPROC)" infinity
  expect "$(property bifrost.service TasksMax)" infinity
}

makes_no_call_that_is_denied() {
  echo "- no system call of its is denied: here it would die of one"
  drop_in SystemCallErrorNumber=kill
  serves
  reload
  undo
}

tells_its_metrics() {
  echo "- its metrics need one setting, and nothing that the unit denies"
  drop_in Environment=BIFROST_METRICS_ADDR=127.0.0.1:9464 SystemCallErrorNumber=kill
  local page name
  page=$(beside curl --silent --show-error --fail --max-time "$DEADLINE" http://127.0.0.1:9464/metrics)
  # The metrics that are read from /proc, of which the unit hides most.
  for name in start_time_seconds cpu_seconds_total resident_memory_bytes virtual_memory_bytes threads open_fds max_fds; do
    grep -E "^process_$name [0-9.]*[1-9]" <<<"$page"
  done
  expect "$(grep -Ec '^bifrost_(draining|websockets) 0$' <<<"$page")" 2
  undo
}

# during COMMAND...: runs it while broadcasts go on, none of which may fail.
during() {
  beside python3 systemd/stream.py "$ADDRESS" "$(sign '{"channel":"news","message":{}}')" "$@"
}

restart() {
  inside systemctl restart bifrost.service
}

reload() {
  inside systemctl reload bifrost.service
}

journal_says() {
  inside journalctl --unit bifrost --output cat | grep -F -- "$1"
}

# broadcast_signed_with SECRET
broadcast_signed_with() {
  local SECRET=$1
  broadcast
}

reloads_without_a_failed_broadcast() {
  echo "- a reload keeps the process, fails no broadcast, and is told to systemd"
  local before
  before=$(main_process)
  inside systemd-analyze log-level debug
  export -f inside
  export INIT
  during bash -c 'for i in 1 2 3; do sleep 0.5; inside systemctl reload bifrost.service; done; sleep 0.5'
  eventually journal_says 'reloaded, nothing changed'
  inside systemd-analyze log-level info
  inside journalctl --output cat _PID=1 | grep -F 'Got notification message from PID' | grep -F 'RELOADING=1'
  expect "$(main_process)" "$before"
  eventually is_running
  echo 'BIFROST_DRAIN_TIMEOUT=9s' | inside tee -a /etc/bifrost/bifrost.env
  reload
  eventually journal_says 'reloaded BIFROST_DRAIN_TIMEOUT=9s'
  inside sed -i '/=9s/d' /etc/bifrost/bifrost.env
  reload
  eventually journal_says 'reloaded BIFROST_DRAIN_TIMEOUT=10s'
  expect "$(main_process)" "$before"
}

is_running() {
  [[ $(property bifrost.service SubState) == running ]]
}

rotates_its_secret() {
  echo "- its secret is rotated by reloads"
  local before old=$SECRET new
  before=$(main_process)
  new=$(openssl rand -hex 48)
  subscribe news
  inside cp /etc/bifrost/secret /etc/bifrost/secret.previous
  echo "$new" | inside tee /etc/bifrost/secret >/dev/null
  reload
  eventually journal_says 'reloaded JWT_SECRET=changed JWT_SECRET_PREVIOUS=changed'
  local secret
  for secret in "$old" "$new"; do
    expect "$(broadcast_signed_with "$secret")" '{"message":"Success","deliveries":1}'
    expect "$(next_message)" '{"n":1}'
  done
  # Removed at once, without being emptied first.
  inside rm /etc/bifrost/secret.previous
  reload
  eventually journal_says 'reloaded JWT_SECRET_PREVIOUS=changed'
  expect "$(broadcast_signed_with "$old")" '{"error":"Bad signature"}'
  expect "$(broadcast_signed_with "$new")" '{"message":"Success","deliveries":1}'
  expect "$(next_message)" '{"n":1}'
  expect "$(main_process)" "$before"
  expect "$(inside stat --format %a /run/bifrost/secret /run/bifrost/.env)" $'600\n600'
  expect "$(inside stat --format %u /run/bifrost/secret)" "$(inside stat --format %u /run/bifrost)"
  kill "$SUBSCRIBER"
  SECRET=$new
}

stays_as_it_is_when_a_reload_is_wrong() {
  echo "- a reload that is wrong fails, is told in the journal, and changes nothing"
  local before
  before=$(main_process)
  printf '%s\n' BIFROST_MAX_BODY=1B BIFROST_QUEUE=lots | inside tee -a /etc/bifrost/bifrost.env
  ! reload || fail "it took a wrong setting"
  journal_says 'BIFROST_QUEUE (in .env) is "lots"; use'
  # SIGHUP alone, without the check that `systemctl reload` runs first.
  inside systemctl kill --kill-who=main --signal=HUP bifrost.service
  eventually journal_says 'reload failed, the settings stay as they were: BIFROST_QUEUE (in .env) is "lots"; use'
  inside sed -i '/lots/d; /=1B/d' /etc/bifrost/bifrost.env
  inside mv /etc/bifrost/secret /etc/bifrost/mislaid
  ! reload || fail "it took no secret for one"
  inside mv /etc/bifrost/mislaid /etc/bifrost/secret
  # Only the service writes to its folder. Whatever is in it, root must not write anywhere else.
  echo mine | inside tee /etc/bifrost/victim
  inside ln --symbolic /etc/bifrost/victim /run/bifrost/secret.new
  reload
  expect "$(inside cat /etc/bifrost/victim)" mine
  inside rm /etc/bifrost/victim
  # A pipe in its place would block the writer, and is replaced.
  inside mkfifo /run/bifrost/secret.new
  reload
  expect "$(inside systemctl is-active bifrost.service)" active
  expect "$(main_process)" "$before"
  expect "$(broadcast)" '{"message":"Success","deliveries":0}'
}

restarts_without_a_failed_broadcast() {
  echo "- restarts fail no broadcast"
  local before
  before=$(main_process)
  export -f inside
  export INIT
  during bash -c 'for i in 1 2 3; do sleep 0.5; inside systemctl restart bifrost.service; done; sleep 0.5'
  [[ $(main_process) != "$before" ]] || fail "it was not restarted"
}

# drop_in LINES...: adds settings to the unit.
drop_in() {
  inside mkdir -p /run/systemd/system/bifrost.service.d
  printf '%s\n' '[Service]' "$@" | inside tee "/run/systemd/system/bifrost.service.d/test.conf"
  inside systemctl daemon-reload
  restart
}

# Removes what drop_in added.
undo() {
  inside rm -r /run/systemd/system/bifrost.service.d
  inside systemctl daemon-reload
  inside systemctl reset-failed bifrost.service
  restart
}

drains_longer_than_the_unit_says() {
  echo "- a drain limit over TimeoutStopSec is respected"
  drop_in TimeoutStopSec=1s 'Environment=BIFROST_DRAIN_TIMEOUT=4s BIFROST_WRITE_TIMEOUT=1m'
  local process start=$SECONDS
  process=$(main_process)
  # A subscriber that never answers the close frame.
  nsenter --target "$INIT" --net python3 systemd/mute.py "$ADDRESS" "$(sign '{"channels":["news"]}')" >"$DIRECTORY/mute" &
  PROCESSES+=($!)
  eventually grep -F subscribed "$DIRECTORY/mute"
  restart
  ((SECONDS - start >= 3)) || fail "it was killed after $((SECONDS - start)) s"
  inside journalctl --unit bifrost --output cat | grep -F 'stopped with connections left limit=4s'
  expect "$(inside journalctl --unit bifrost --output cat | grep -c 'Killing process')" 0
  [[ $(main_process) != "$process" ]] || fail "it was not restarted"
  undo
}

has_restarted() {
  [[ $(property bifrost.service NRestarts) -gt $1 && $(property bifrost.service MainPID) != "$2" ]]
}

is_restarted_when_it_hangs() {
  echo "- it is restarted when it hangs"
  drop_in WatchdogSec=2s
  local process restarts
  process=$(main_process)
  restarts=$(property bifrost.service NRestarts)
  sleep 5 # longer than the watchdog waits: a service that is well is left alone
  expect "$(main_process)" "$process"
  inside kill -STOP "$process"
  eventually has_restarted "$restarts" "$process"
  expect "$(broadcast)" '{"message":"Success","deliveries":0}'
  inside journalctl --unit bifrost --output cat | grep -F 'Watchdog timeout'
  undo
}

is_not_started_again_with_a_wrong_setting() {
  echo "- a wrong setting is told in the journal, and not tried again and again"
  echo BIFROST_QUEUE=lots | inside tee -a /etc/bifrost/bifrost.env
  ! restart || fail "it started with a wrong setting"
  expect "$(property bifrost.service ExecMainStatus)" 2
  expect "$(property bifrost.service NRestarts)" 0
  journal_says 'bifrost: BIFROST_QUEUE (in .env) is "lots"'
  inside sed -i '/lots/d' /etc/bifrost/bifrost.env
  inside systemctl reset-failed bifrost.service bifrost.socket
  inside systemctl start bifrost.socket bifrost.service
}

upgrades_without_a_failed_broadcast() {
  echo "- an upgrade fails no broadcast, and keeps secret and settings"
  echo 'BIFROST_PING_INTERVAL=20s' | inside tee -a /etc/bifrost/bifrost.env
  local before settings
  before=$(main_process)
  settings=$(inside cat /etc/bifrost/bifrost.env)
  # dpkg runs the triggers, such as man-db's, after everything that concerns the service.
  during bash -c 'inside dpkg --no-triggers --install /mnt/bifrost.deb'
  [[ $(main_process) != "$before" ]] || fail "it was not restarted"
  expect "$(inside cat /etc/bifrost/secret)" "$SECRET"
  expect "$(inside cat /etc/bifrost/bifrost.env)" "$settings"
}

logged_nothing_bad() {
  echo "- what it logged is as severe as it says"
  # The failures that were provoked above.
  expect "$(inside journalctl _COMM=bifrost --priority warning --output cat --quiet |
    grep -v -e 'stopped with connections left' -e 'is "lots"; use' -e 'reason="Bad signature"')" ''
}

is_removed_and_purged() {
  echo "- it is removed, and purged"
  inside dpkg --configure --pending
  inside dpkg --remove bifrost
  expect "$(inside systemctl is-active bifrost.service bifrost.socket)" $'inactive\ninactive'
  ! beside curl --silent --max-time "$DEADLINE" "http://$ADDRESS/healthz" || fail "it still answers"
  inside test -e /etc/bifrost/secret
  inside dpkg --purge bifrost
  expect "$(inside find /etc /usr /lib /var/lib /run -xdev -iname '*bifrost*' -not -path '/run/log/*')" ''
  expect "$(inside systemctl list-unit-files --no-legend 'bifrost*')" ''
}

main

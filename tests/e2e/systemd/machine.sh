# shellcheck shell=bash
# A machine that systemd has booted: this one's files, in namespaces and a control
# group of its own. What happens there, installing packages included, stays there
# and is gone at the end. Sourced, after ../curl/bifrost.sh; needs root.

# Files for the machine, at /mnt in it.
SHARED=$DIRECTORY/shared
mkdir "$SHARED"
MACHINE= INIT=

# Boots the machine, without network but its loopback.
start_machine() {
  unshare --mount --propagation private bash "$PWD/systemd/boot" "$DIRECTORY" &
  MACHINE=$!
  eventually test -s "$DIRECTORY/init"
  INIT=$(<"$DIRECTORY/init")
  eventually inside systemctl is-system-running --wait
}

# inside COMMAND...: runs it in the machine.
inside() {
  nsenter --target "$INIT" --all --wdns=/ \
    env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}

# beside COMMAND...: runs it on the host with the machine's network.
beside() {
  nsenter --target "$INIT" --net "$@"
}

# eventually COMMAND...: tries until it succeeds.
eventually() {
  local deadline=$((SECONDS + DEADLINE))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "never came true: $*"
    sleep 0.1
  done
}

# property UNIT NAME: the value that systemd has.
property() {
  inside systemctl show --value --property "$2" "$1"
}

# Shows the machine's journal when a check fails, then ends the machine.
stop_machine() {
  local status=$?
  [[ $status -eq 0 || -z $INIT ]] || inside journalctl --no-pager --quiet --unit 'bifrost*'
  [[ -z $MACHINE ]] || kill "$MACHINE" || true
  wait "$MACHINE" || true # until all that ran there has ended
  clean_up
}
trap stop_machine EXIT

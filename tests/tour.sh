#!/usr/bin/env bash
# Runs docs/tour.md as it stands there, command by command, in one shell: tests/tour.sh FOLDER PORT, where FOLDER has `novella`
# and `openstack`, and NOVELLA_TOUR_BUS and NOVELLA_TOUR_DATABASE name an empty virtual host and an empty database, in place
# of those that Docker would bring.
#
# PORT is where its clouds listen: another may have the usual one.
set -euo pipefail

programs=$(cd "${1:?usage: tests/tour.sh FOLDER PORT}" && pwd)
port=${2:?usage: tests/tour.sh FOLDER PORT}
bus=${NOVELLA_TOUR_BUS:?the URL of a virtual host of RabbitMQ} database=${NOVELLA_TOUR_DATABASE:?the URL of an empty database}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

commands=$(awk '/^```sh$/ { block = 1; next } /^```$/ { block = 0 } block' docs/tour.md | grep -v '^docker ' | sed \
    -e "s|^export NOVELLA_BUS__URL=.*|export NOVELLA_BUS__URL='$bus'|" \
    -e "s|^export NOVELLA_DATABASE__URL=.*|export NOVELLA_DATABASE__URL='$database'|" \
    -e "s|127\.0\.0\.1:8774|127.0.0.1:$port|")
[ "$(wc -l <<<"$commands")" -gt 40 ] || { echo "docs/tour.md has too few commands" >&2 && exit 1; }

home=$(mktemp --directory)
walk=
cleanup() {
    # Whatever is left of the walk: its services are in its process group.
    if [ -n "$walk" ]; then kill -KILL -- "-$walk" 2>/dev/null || true; fi
    HOME=$home "$programs/novella" down --remove >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap cleanup EXIT
cd "$home"

# Nothing of the surrounding shell's: a new user has neither variables nor a cloud. Each command is shown as it runs.
env --ignore-environment HOME="$home" NOVELLA_API__LISTEN="127.0.0.1:$port" PATH="$programs:/usr/local/bin:/usr/bin:/bin" \
    TERM=dumb LANG=C.UTF-8 setsid timeout --foreground 420 bash -c "set -euo pipefail; set -v
$commands" 2>&1 &
walk=$!
if ! wait "$walk"; then
    # What the services have said last, if it came that far.
    tail -n 5 ./*.log >&2 || true
    echo "docs/tour.md's commands failed" >&2
    exit 1
fi
echo "docs/tour.md's commands went well"

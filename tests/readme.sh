#!/usr/bin/env bash
# Runs README.md as it stands there, command by command, in one shell: tests/readme.sh FOLDER PORT, where FOLDER has
# `novella` and `openstack`.
#
# PORT is where its cloud listens: another may have the usual one. Left out are commands that install something or need servers: those of the sections named below, and docker and cargo.
set -euo pipefail

programs=$(cd "${1:?usage: tests/readme.sh FOLDER PORT}" && pwd)
port=${2:?usage: tests/readme.sh FOLDER PORT}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

commands=$(awk '
    /^## / { section = substr($0, 4); inside = (section == "Start" || section == "A walk with curl" || section == "The bus by hand") }
    inside && /^```sh$/ { block = 1; next }
    /^```$/ { block = 0 }
    inside && block
' README.md | grep -v -e '^cargo ' -e '^docker ' -e '^cp deploy/demonstration.env ')
[ "$(wc -l <<<"$commands")" -gt 30 ] || { echo "README.md has too few commands" >&2 && exit 1; }

home=$(mktemp --directory)
cleanup() {
    HOME=$home "$programs/novella" down --remove >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap cleanup EXIT
cd "$home"

# Nothing of the surrounding shell's: a new user has neither variables nor a cloud. Each command is shown as it runs.
env --ignore-environment HOME="$home" NOVELLA_API__LISTEN="127.0.0.1:$port" PATH="$programs:/usr/local/bin:/usr/bin:/bin" TERM=dumb LANG=C.UTF-8 \
    timeout 280 bash -c "set -euo pipefail; set -v
$commands" 2>&1 || { echo "README.md's commands failed" >&2 && exit 1; }
echo "README.md's commands went well"

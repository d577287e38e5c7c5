#!/usr/bin/env bash
# Runs the README's walk with curl, as it stands there, against a cloud that runs: tests/walk.sh ENDPOINT PASSWORD
#
# The commands are taken out of README.md, so that what a person copies is what is tested.
set -euo pipefail

endpoint=${1:?usage: tests/walk.sh ENDPOINT PASSWORD}
password=${2:?usage: tests/walk.sh ENDPOINT PASSWORD}
readme=$(dirname "${BASH_SOURCE[0]}")/../README.md

# The sh blocks of the section, without the two lines that a person fills in.
commands=$(awk '
    /^## / { inside = ($0 == "## A walk with curl") }
    inside && /^```sh$/ { block = 1; next }
    /^```$/ { block = 0 }
    inside && block
' "$readme" | grep -v -e '^export NOVELLA=' -e '^export PASSWORD=')
[ -n "$commands" ] || { echo "README.md has no section 'A walk with curl'" >&2 && exit 1; }

walk="set -euo pipefail
NOVELLA='$endpoint'
PASSWORD='$password'
$commands
echo
echo \"the walk has moved server \$SERVER\"
"
# The loops in it wait for states: a cloud in which something is stuck ends the walk here.
output=$(timeout 180 bash -c "$walk") || { printf '%s\n' "$output" && echo "the README's walk failed" >&2 && exit 1; }
printf '%s\n' "$output"

for expected in '"flavors"' '"images"' 'HTTP/1.1 202' '"migrations"' 'OS-EXT-SRV-ATTR:host' 'HTTP/1.1 204'; do
    grep -qF "$expected" <<<"$output" || { echo "the README's walk did not show $expected" >&2 && exit 1; }
done
grep -qE 'has moved server [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' <<<"$output"
echo "the README's walk went well"

# shellcheck shell=bash
# What the test scripts ask of the machine: commands (brought in from Debian's packages where they are missing), ports,
# passwords. To be sourced.

# need_packages COMMAND=PACKAGE...
#
# Installs the packages whose commands are not there. Elsewhere than on Debian, or without the right to install, says
# what is missing and fails. A package's own service is not started: the tests start servers of their own.
need_packages() {
    local pair missing=() packages=()
    for pair in "$@"; do
        if [ -z "$(find_command "${pair%%=*}")" ]; then
            missing+=("${pair%%=*}")
            packages+=("${pair#*=}")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    if [ -z "$(command -v apt-get)" ] || { [ ${#as_root[@]} -gt 0 ] && [ -z "$(command -v sudo)" ]; }; then
        printf 'Not installed: %s.\n' "${missing[*]}"
        printf 'Please install what holds these commands; on Debian, as root:\n'
        printf '  apt-get install --no-install-recommends %s\n' "${packages[*]}"
        return 1
    fi >&2

    printf 'Installing %s\n' "${packages[*]}" >&2
    # A shell of its own, so that its trap takes the policy back whatever happens, and the caller's traps stay.
    "${as_root[@]}" bash -euo pipefail -c "$(declare -f install_without_starting); install_without_starting \"\$@\"" \
        install "${packages[@]}" >&2
}

# find_command NAME: its path, or nothing. Debian keeps servers' commands in folders that are in nobody's PATH.
find_command() {
    local file
    # The last is the newest.
    for file in "/usr/sbin/$1" /usr/lib/postgresql/*/bin/"$1" "/usr/lib/rabbitmq/bin/$1"; do
        if [ -x "$file" ]; then printf '%s\n' "$file"; fi
    done | tail -n 1 | grep . || command -v "$1" || true
}

# As root. Debian starts a service as soon as its package is installed, unless this policy forbids it.
install_without_starting() {
    local policy=/usr/sbin/policy-rc.d saved=
    if [ -e "$policy" ]; then
        saved=$(mktemp)
        cp -p "$policy" "$saved"
    fi
    # shellcheck disable=SC2064 # with the values of now: the locals are gone when the trap runs
    trap "rm -f '$policy'; if [ -n '$saved' ]; then cp -p '$saved' '$policy'; rm '$saved'; fi" EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"

    export DEBIAN_FRONTEND=noninteractive
    local options=(-qq --yes --no-install-recommends -o Dpkg::Use-Pty=0)
    apt-get "${options[@]}" install "$@" || {
        # The lists of packages may be missing or old.
        apt-get -qq update
        apt-get "${options[@]}" install "$@"
    }
}

# free_port [TAKEN...]: a port on which nobody listens, other than these, below those that the kernel hands out.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        [[ " $* " != *" $port "* ]] || continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    printf '%s\n' "$port"
}

# Letters and digits, which mean themselves in a URL.
random_password() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

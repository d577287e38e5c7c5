# shellcheck shell=bash
# A Docker daemon that belongs to one run of the tests. To be sourced. As root, on Linux.
#
#   docker_start FOLDER DATA   starts it: socket and state in FOLDER, images and volumes in DATA; sets DOCKER_HOST
#   docker_stop                ends it and takes back what it did to the machine's network; harmless twice

docker_pid=
docker_folder=

docker_start() {
    docker_folder=$1
    mkdir -p "$2"
    network_save
    setsid setpriv --pdeathsig TERM dockerd --data-root "$2" --exec-root "$docker_folder/exec" \
        --pidfile "$docker_folder/docker.pid" --host "unix://$docker_folder/docker.sock" \
        >"$docker_folder/dockerd.log" 2>&1 </dev/null &
    docker_pid=$!
    export DOCKER_HOST=unix://$docker_folder/docker.sock
    # The builder that every Docker has.
    export DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
    until docker info >/dev/null 2>&1; do
        if ! kill -0 "$docker_pid" 2>/dev/null; then
            printf 'dockerd ended while starting. What it said last:\n' >&2
            tail -n 30 "$docker_folder/dockerd.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

docker_stop() {
    [ -n "$docker_pid" ] || return 0
    kill -TERM "$docker_pid" 2>/dev/null || true
    wait "$docker_pid" 2>/dev/null || true
    docker_pid=
    local mount
    while read -r mount; do umount "$mount" || true; done \
        < <(awk -v folder="$docker_folder/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | sort -r)
    network_restore
}

# dockerd leaves behind: its chains and rules, a FORWARD policy of DROP, forwarding switched on, its bridge.

network_save() {
    # A table that does not exist yet is saved as one that is empty and lets everything through.
    {
        iptables-save | grep -q '^\*filter' || printf '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n'
        iptables-save | grep -q '^\*nat' ||
            printf '*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n'
        iptables-save
    } >"$docker_folder/iptables"
    cat /proc/sys/net/ipv4/ip_forward >"$docker_folder/ip_forward"
    bridges | sort >"$docker_folder/bridges"
}

network_restore() {
    local bridge
    iptables-restore <"$docker_folder/iptables"
    cat "$docker_folder/ip_forward" >/proc/sys/net/ipv4/ip_forward
    # Only such as Docker makes, and only those that were not there before.
    while read -r bridge; do
        ip link delete "$bridge"
    done < <(bridges | sort | comm -13 "$docker_folder/bridges" - | grep -E '^(docker0|br-[0-9a-f]{12})$')
}

bridges() { ip -brief link show type bridge | awk '{ print $1 }'; }

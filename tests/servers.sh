# shellcheck shell=bash
# A RabbitMQ and a PostgreSQL that belong to one run of the tests. To be sourced after machine.sh.
#
#   servers_start FOLDER PURPOSE
#                          begins to start both in an existing, empty folder, and does not wait. PURPOSE is `tests`, which
#                          wait for the counts of the broker's queues and need nothing on the disk, or `benchmarks`, which
#                          measure both servers as they come
#   servers_wait           returns when both answer, and fails when one has ended
#   servers_exports        prints the variables for the tests, one `export NAME=VALUE` a line
#   servers_stop           ends both at once, and returns when they are gone; harmless at any time, and twice
#
# Everything that either could share with a server of the system is its own: ports, node name, cookie, port mapper,
# data, log, configuration, plugins. Nothing of /etc/rabbitmq or /etc/postgresql is read.

servers_folder=
servers_purpose=
servers_password=
amqp_port=
management_port=
postgres_port=
# Prefix of a server's command, with a signal after it: in a session of its own, so that Ctrl-C reaches only the script,
# which then ends it in good order; and sent that signal should the script itself be killed.
tied=(setsid setpriv --pdeathsig)
# The processes to end, in this order.
servers_pids=()
postgres_pid=
# Prefix of PostgreSQL's commands: the user to run as.
postgres_as=()

servers_start() {
    servers_folder=$1
    servers_purpose=$2
    # PostgreSQL may run as another user, and must get through to its folder.
    chmod 711 "$servers_folder"
    servers_password=$(random_password)
    rabbitmq_start
    postgres_start
}

servers_wait() {
    local waited=0
    until rabbitmq_answers && postgres_answers; do
        local pid
        for pid in "${servers_pids[@]}"; do
            if ! kill -0 "$pid" 2>/dev/null; then
                printf 'A server ended while starting. What it said last:\n' >&2
                tail -n 30 "$servers_folder"/*.log "$servers_folder"/rabbitmq/log/*.log >&2
                return 1
            fi
        done
        if [ $((waited += 1)) -gt 2400 ]; then
            printf 'The servers are still not ready after two minutes\n' >&2
            return 1
        fi
        sleep 0.05
    done
}

servers_exports() {
    local user="novella:$servers_password" host=127.0.0.1
    printf 'export NOVELLA_TEST_AMQP_URL=amqp://%s@%s:%s\n' "$user" "$host" "$amqp_port"
    printf 'export NOVELLA_TEST_RABBITMQ_API=http://%s@%s:%s\n' "$user" "$host" "$management_port"
    printf 'export NOVELLA_TEST_POSTGRES_URL=postgres://%s@%s:%s/postgres\n' "$user" "$host" "$postgres_port"
}

servers_stop() {
    local pid
    for pid in "${servers_pids[@]}"; do
        # PostgreSQL takes QUIT for: end now, write nothing. Killed outright it would leave shared memory behind.
        # RabbitMQ has nothing that is worth a farewell.
        if [ "$pid" = "$postgres_pid" ]; then kill -QUIT "$pid"; else kill -KILL "$pid"; fi
    done 2>/dev/null
    for pid in "${servers_pids[@]}"; do wait "$pid"; done 2>/dev/null || true
    servers_pids=()
}

# --- RabbitMQ ---

rabbitmq_start() {
    local home=$servers_folder/rabbitmq epmd_port distribution_port
    mkdir -p "$home/log"
    amqp_port=$(free_port)
    management_port=$(free_port "$amqp_port")
    epmd_port=$(free_port "$amqp_port" "$management_port")
    distribution_port=$(free_port "$amqp_port" "$management_port" "$epmd_port")

    (umask 077 && cat >"$home/rabbitmq.conf") <<END
listeners.tcp.1 = 127.0.0.1:$amqp_port
management.tcp.ip = 127.0.0.1
management.tcp.port = $management_port
default_user = novella
default_pass = $servers_password
default_user_tags.administrator = true
loopback_users.novella = false
log.file.level = warning
END
    if [ "$servers_purpose" = tests ]; then
        cat >>"$home/rabbitmq.conf" <<END
vm_memory_high_watermark.absolute = 3GiB
disk_free_limit.absolute = 50MB
# How old a count in the management API may be, in milliseconds.
collect_statistics_interval = 200
END
    fi
    printf '[rabbitmq_management].\n' >"$home/plugins"

    # The port mapper is ours from the start: one that Erlang starts by itself outlives it.
    "${tied[@]}" KILL "$(find_command epmd)" -port "$epmd_port" -address 127.0.0.1 >"$servers_folder/epmd.log" 2>&1 &
    local epmd_pid=$!

    local environment=(
        HOME="$home"
        ERL_EPMD_PORT="$epmd_port"
        ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf"
        RABBITMQ_ADVANCED_CONFIG_FILE="$home/none"
        RABBITMQ_ENABLED_PLUGINS_FILE="$home/plugins"
        RABBITMQ_GENERATED_CONFIG_DIR="$home/generated"
        RABBITMQ_MNESIA_BASE="$home/data"
        RABBITMQ_LOG_BASE="$home/log"
        RABBITMQ_PID_FILE="$home/pid"
        RABBITMQ_NODENAME="novella-$epmd_port@localhost"
        RABBITMQ_DIST_PORT="$distribution_port"
        # Two schedulers, which sleep when idle: by default a core is kept busy waiting.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
        # The start script then becomes the server, and its process id is the server's.
        RABBITMQ_ALLOW_INPUT=1
    )
    # Not the wrapper in PATH, which changes to a user who cannot read this folder.
    "${tied[@]}" KILL env "${environment[@]}" "$(find_command rabbitmq-server)" -noinput \
        >"$servers_folder/rabbitmq.log" 2>&1 </dev/null &
    servers_pids+=("$!" "$epmd_pid")
}

# Asks the management API whether the AMQP port is served: it is the last thing that RabbitMQ opens.
rabbitmq_answers() {
    local status path="/api/health/checks/port-listener/$amqp_port"
    { exec 3<>"/dev/tcp/127.0.0.1/$management_port"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n' \
        "$path" "$(printf 'novella:%s' "$servers_password" | base64 -w 0)" >&3
    read -r status <&3 || true
    exec 3>&-
    [[ $status == *" 200 "* ]]
}

# --- PostgreSQL ---

postgres_start() {
    local home=$servers_folder/postgres
    mkdir -p "$home"
    (umask 077 && printf '%s\n' "$servers_password" >"$home/password")
    if [ "$(id -u)" -eq 0 ]; then
        # It refuses to run as root. Its package made this user.
        chown -R postgres "$home"
        postgres_as=(setpriv --reuid postgres --regid postgres --init-groups)
    fi
    "${postgres_as[@]}" "$(find_command initdb)" --pgdata "$home/data" --username novella --pwfile "$home/password" \
        --auth scram-sha-256 --encoding UTF8 --locale C --no-sync >"$servers_folder/postgres.log"
    postgres_port=$(free_port "$amqp_port" "$management_port")
    local options=(
        -D "$home/data" -k "$home" -h 127.0.0.1 -p "$postgres_port"
        -c max_connections=500
    )
    if [ "$servers_purpose" = tests ]; then
        # A crash of the machine ends the tests as well: nothing has to be on the disk.
        options+=(
            -c shared_buffers=64MB -c autovacuum=off -c fsync=off -c synchronous_commit=off -c full_page_writes=off
        )
    fi
    # The user first: a change of user unties.
    "${postgres_as[@]}" "${tied[@]}" QUIT "$(find_command postgres)" "${options[@]}" \
        >>"$servers_folder/postgres.log" 2>&1 </dev/null &
    postgres_pid=$!
    servers_pids+=("$postgres_pid")
}

postgres_answers() {
    "$(find_command pg_isready)" --quiet --host 127.0.0.1 --port "$postgres_port"
}

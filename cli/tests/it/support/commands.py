"""Runs commands of OpenStack's clients, each in a process of its own that finds the modules there: to read them takes a
core for a second, which a test with fifty commands would pay fifty times.

Listens on the Unix socket that is named as the argument, until its standard input ends. A request is one line of JSON,
{"program": "openstack" or "nova", "arguments": [...], "environment": {...}}; its answer is
{"status": N, "stdout": "...", "stderr": "..."}.
"""

import importlib
import importlib.metadata
import json
import os
import select
import signal
import socket
import sys
import tempfile

MAINS = {"openstack": "openstackclient.shell", "nova": "novaclient.shell"}

# The commands themselves, which the client finds by these groups.
COMMANDS = ["openstack.common", "openstack.compute.v2", "openstack.identity.v3", "openstack.image.v2", "openstack.network.v2"]


def main():
    commands = [point.module for group in COMMANDS for point in importlib.metadata.entry_points(group=group)]
    for name in [*MAINS.values(), *sorted(set(commands))]:
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    print("ready", flush=True)
    # Nobody waits for the processes.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            # The test has ended; nobody waits for what Python tidies up.
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(connection)
            os._exit(0)
        connection.close()


def answer(connection):
    with connection.makefile("rw") as stream:
        request = json.loads(stream.readline())
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            status = run(request, stdout, stderr)
            result = {"status": status, "stdout": text(stdout), "stderr": text(stderr)}
        stream.write(json.dumps(result) + "\n")


def run(request, stdout, stderr):
    """Runs a command as its own program would; its exit status."""
    os.environ.clear()
    os.environ.update(request["environment"])
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(stdout.fileno(), 1)
    os.dup2(stderr.fileno(), 2)
    program, arguments = request["program"], request["arguments"]
    sys.argv = [program, *arguments]
    try:
        status = importlib.import_module(MAINS[program]).main(arguments)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(status, str):
        os.write(2, status.encode())
        return 1
    return status or 0


def text(file):
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main()

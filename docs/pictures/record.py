#!/usr/bin/env python3
"""Records the first minute with a cloud: record.py FOLDER > first-minute.svg, where FOLDER has `novella` and `openstack`.

The commands are run as they are shown, in a home folder of their own, and what they print is drawn by `rich`
(`pip install rich`).
"""

import os
import re
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.text import Text

COMMANDS = [
    "novella up --detach --wait --quiet",
    'eval "$(novella env)"',
    "openstack server create --flavor m1.tiny --image cirros --wait first -f value -c status",
    "openstack server create --flavor m1.tiny --image cirros --wait second -f value -c status",
    "openstack server list -c Name -c Status -c Networks -c Flavor",
    "novella status",
]


def main(folder: str) -> None:
    console = Console(record=True, width=96, file=open(os.devnull, "w"))
    with tempfile.TemporaryDirectory() as home:
        path = f"{os.path.abspath(folder)}:/usr/local/bin:/usr/bin:/bin"
        env = {"HOME": home, "PATH": path, "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "96"}
        shell = subprocess.Popen(
            ["bash"], env=env, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            for command in COMMANDS:
                console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
                shell.stdin.write(f"{command}; echo END $?\n")
                shell.stdin.flush()
                for line in shell.stdout:
                    if line.startswith("END "):
                        assert line == "END 0\n", f"{command}: {line}"
                        break
                    console.print(Text(line.rstrip("\n").replace(home, "~")))
        finally:
            shell.stdin.write("novella down --remove\n")
            shell.stdin.close()
            shell.wait()
    svg = console.export_svg(title="The first minute")
    # Its fonts would be fetched from elsewhere: the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.S).replace("Fira Code, monospace", "monospace")
    assert "http" not in svg.replace("http://www.w3.org/", "").replace("http://127.0.0.1", "").replace("https://www.textualize.io", "")
    print(svg)


main(sys.argv[1])

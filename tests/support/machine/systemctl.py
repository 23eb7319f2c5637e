"""Stands in for ``systemctl``, which needs a systemd: starts and stops what the units say.

It honours of a unit what changes where the service runs: its user, directories, environment, umask
and command; and waits until the service says that it is ready. It doesn't confine the service.
"""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

UNITS = Path("/etc/systemd/system")
RUN = Path("/run")
READY_S = 120


def start(name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign] - keys have capitals
    unit.read(UNITS / f"{name}.service")
    service = unit["Service"]
    for kind, parent in (("State", "/var/lib"), ("Configuration", "/etc"), ("Runtime", "/run")):
        directory = Path(parent) / service[f"{kind}Directory"]
        directory.mkdir(exist_ok=True)
        directory.chmod(int(service[f"{kind}DirectoryMode"], 8))
        shutil.chown(directory, service["User"], service["Group"])
    variable, _, value = service["Environment"].partition("=")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(RUN / "notify"))
        (RUN / "notify").chmod(0o666)
        told.settimeout(READY_S)
        with (RUN / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["runuser", "-u", service["User"], "--", *service["ExecStart"].split()],
                cwd=service["WorkingDirectory"],
                env={
                    "PATH": os.environ["PATH"],
                    "NOTIFY_SOCKET": told.getsockname(),
                    variable: value,
                },
                umask=int(service["UMask"], 8),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (RUN / f"{name}.pid").write_text(str(process.pid))
        while b"READY=1" not in told.recv(1_024):
            pass


def main() -> None:
    """Carry out the command in ``sys.argv``."""
    match sys.argv[1:]:
        case ["enable", "--now", name]:
            start(name)
        case ["restart", "nginx"]:
            subprocess.run(["nginx", "-t"], check=True)
            subprocess.run(["nginx"], check=True)
        case ["stop", name]:
            os.killpg(int((RUN / f"{name}.pid").read_text()), signal.SIGTERM)
        case other:
            sys.exit(f"systemctl can't {other} here")


if __name__ == "__main__":
    main()

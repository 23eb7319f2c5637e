"""Runs a program on a machine of its own, as far as Linux's namespaces make one.

It sees this system's programs, but has its own ``/etc``, ``/opt``, ``/var`` and ``/run``, users
and processes; isolated, also ports of its own and no network. Nothing of what it does stays.

Without root, there is one user in such a namespace. There, all users are that one, and ``adduser``
and ``runuser`` are stand-ins.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.needs import require

#: What a login of root's has on a new Debian.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_AS_ROOT = os.geteuid() == 0
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
_STAND_INS = {
    "adduser": "#!/bin/sh\n",
    "runuser": '#!/bin/sh\nshift 3\nexec "$@"\n',
}
_MOUNTS = """
set -eu
for each in opt var run etc; do mount --bind "$MACHINE/$each" /$each; done
mount -t proc proc /proc
[ -z "$ISOLATED" ] || ip link set lo up
exec "$@"
"""


def available() -> bool:
    """Whether the system lets this user make namespaces."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_unshare(), "--net", "true"], capture_output=True).returncode == 0


def prepare(directory: Path) -> Path:
    """Create the files of a machine in *directory*; its ``etc``."""
    for name in ("opt", "run", "var/lib/nginx", "var/log/nginx", "bin"):
        (directory / name).mkdir(parents=True)
    # Not every file of /etc is readable without root, and none of those is needed.
    subprocess.run(["cp", "-a", "/etc", directory], capture_output=True)
    etc = directory / "etc"
    systemctl = directory / "bin/systemctl"
    here = Path(__file__).with_name("systemctl.py")
    systemctl.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {here} "$@"\n')
    systemctl.chmod(0o755)
    if not _AS_ROOT:
        for name, script in _STAND_INS.items():
            (directory / "bin" / name).write_text(script)
            (directory / "bin" / name).chmod(0o755)
        _one_user(etc, "gatepass", "www-data")
    with (etc / "hosts").open("a") as hosts:
        hosts.write("127.0.0.1 tokens.example.com\n")
    return etc


def run(
    directory: Path,
    *command: str,
    cwd: Path | None = None,
    isolated: bool = True,
    **environ: str,
) -> str:
    """Run *command* on the machine in *directory*, in an empty environment; its output.

    Args:
        isolated: from the network, with ports of its own.
    """
    require("processes")
    done = subprocess.run(
        [*_unshare(), *(["--net"] if isolated else []), "sh", "-c", _MOUNTS, "sh", *command],
        env={
            "PATH": f"{directory}/bin:{PATH}",
            "HOME": "/nonexistent",
            "MACHINE": str(directory),
            "ISOLATED": "yes" if isolated else "",
            **environ,
        },
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _unshare() -> list[str]:
    return [*_UNSHARE, *([] if _AS_ROOT else ["--user", "--map-root-user"])]


def _one_user(etc: Path, *names: str) -> None:
    for file, line in (("passwd", "{}:x:0:0::/:/bin/sh"), ("group", "{}:x:0:")):
        kept = [
            each
            for each in (etc / file).read_text().splitlines()
            if each.partition(":")[0] not in names
        ]
        (etc / file).unlink()
        (etc / file).write_text("\n".join([*kept, *map(line.format, names), ""]))

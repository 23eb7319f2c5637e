"""``gatepass scan`` against ``grep -E`` with the credentials' pattern."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Missing, Result
from benchmarks.rounds import alternate
from benchmarks.scenarios import Bench, scenario
from gatepass.core.credentials import PREFIXES, make

_TREE_BYTES = 200 << 20
_LEAKS = 20
_PATTERN = f"gp({'|'.join(prefix[2:] for prefix in PREFIXES)})_[0-9A-Za-z]{{54}}"
_REPOSITORY = Path(__file__).parent.parent
_HISTORY = "the history of this repository"


@scenario(11, "scanning", "Finding leaked credentials")
def scanning(bench: Bench) -> Iterator[Result]:
    """Whole commands, one after the other, on files that were read once before."""
    bench.say("scanning: copying a tree")
    files, size = _copy_tree(bench.directory / "tree")
    tree = f"a tree of {files:,} files, {size / 2**20:,.0f} MiB"
    yield _figure(
        bench,
        "Scanning files, against grep",
        f"seconds of `gatepass scan` on {tree}, against `grep -rE`",
        2,
        ("tree",),
        [["grep", "-rE", _PATTERN, "tree"]],
        "copies of Python's library and of installed packages, compiled files included; "
        f"both find {_LEAKS} credentials",
    )
    if not (_REPOSITORY / ".git").exists():
        yield Missing(_HISTORY, "not a checkout")
        return
    repository = str(_REPOSITORY)
    commits = subprocess.check_output(["git", "-C", repository, "rev-list", "--all", "--count"])
    yield _figure(
        bench,
        "Scanning a history, against git log and grep",
        f"seconds of `gatepass scan --git` on {_HISTORY}, {int(commits):,} commits, "
        "against `git log -p -m --text | grep -E`",
        1,
        ("--git", repository),
        [
            ["git", "-C", repository, "log", "--all", "-p", "-m", "--text"],
            ["grep", "-aE", _PATTERN],
        ],
        "the scan names each credential's first commit, and the line in its file there",
    )


def _figure(
    bench: Bench,
    name: str,
    what: str,
    bar: float,
    arguments: Sequence[str],
    pipeline: list[list[str]],
    detail: str,
) -> Figure:
    scan = [[sys.executable, "-m", "gatepass.cli", "scan", *arguments]]
    subjects: dict[str, Callable[[], float]] = {
        "scan": partial(_seconds, bench.directory, scan),
        "grep": partial(_seconds, bench.directory, pipeline),
    }
    for measure in subjects.values():
        measure()
    bench.say(f"scanning: {name}")
    rounds = alternate(bench.rounds(7), subjects)
    own, others = (median(measured[one] for measured in rounds) for one in ("scan", "grep"))
    return Figure(
        name=name,
        what=what,
        ratios=tuple(measured["scan"] / measured["grep"] for measured in rounds),
        bar=bar,
        at_most=True,
        detail=(
            f"{own:.2f} s, of which {_start_seconds(bench):.2f} s are the start, "
            f"against {others:.2f} s; {detail}"
        ),
    )


def _start_seconds(bench: Bench) -> float:
    """The seconds of a scan of nothing."""
    nothing = [[sys.executable, "-m", "gatepass.cli", "scan", os.devnull]]
    return median(_seconds(bench.directory, nothing) for _ in range(3))


def _seconds(directory: Path, pipeline: list[list[str]]) -> float:
    """The time that commands take, each reading what the one before it writes."""
    # grep is slower with any other locale.
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "1"}
    start = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for command in pipeline:
        last = command is pipeline[-1]
        running.append(
            subprocess.Popen(
                command,
                cwd=directory,
                stdin=running[-1].stdout if running else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if last else subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        )
    for process in running:
        process.wait()
        # grep says 1 where it finds nothing, a scan where it finds something.
        assert process.returncode in (0, 1), process.args
    return time.perf_counter() - start


def _copy_tree(target: Path) -> tuple[int, int]:
    """Copy this Python's files, and hide credentials among them: files, bytes."""
    sources = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    files = size = 0
    while size < _TREE_BYTES:
        for source in sources:
            for path in sorted(source.rglob("*")):
                if size >= _TREE_BYTES:
                    break
                if path.is_file() and not path.is_symlink():
                    copy = target / str(files // 1_000) / f"{files}-{path.name}"
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
                    size += copy.stat().st_size
                    files += 1
    for path in islice(sorted(target.rglob("*.py")), _LEAKS):
        with path.open("a") as file:
            file.write(f"\nKEY = '{make('gpat').text}'\n")
    return files, size

"""Peak resident memory of daemon and client for a push and a pull of a big file, each killed halfway and repeated.

Prints a table. The first client is killed with SIGKILL when half of the bytes are there; the second one moves what was
missing then: the daemon takes and gives bytes at the offset only. With `--files N` the bytes are a folder of so many
files instead; a pull of it begins anew. `--gate` fails where a peak is above so many MiB.
"""

import argparse
import filecmp
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from opstore_cli import local_daemon

MIB = 1024 * 1024
OPSTORE = [sys.executable, "-m", "opstore_cli"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=2048, help="size of the file (default: 2048)")
    parser.add_argument("--files", type=int, default=0, help="a folder of so many files (default: one file)")
    parser.add_argument("--gate", type=float, help="fail where a peak is above so many MiB")
    asked = parser.parse_args()
    what = f" in {asked.files} files" if asked.files else ""
    table = Table(title=f"{asked.mib} MiB{what}, the first client killed in the middle")
    for column in ("", "first left MiB", "second moved MiB", "peak of the client MiB", "peak of the daemon MiB"):
        table.add_column(column, justify="right")
    peaks: list[float] = []
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        for row in measure(Path(folder), asked.mib, asked.files):
            peaks += row[3:]
            table.add_row(row[0], *(f"{value:.0f}" for value in row[1:]))
    Console().print(table)
    return int(asked.gate is not None and max(peaks) > asked.gate)


def measure(folder: Path, mib: int, files: int) -> list[tuple[str, float, float, float, float]]:
    """A row for the push and one for the pull."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPSTORE_")}
    environ["OPSTORE_HOME"] = str(folder / "home")
    source, target = folder / "source", folder / "target"
    _make(source, mib, files)
    rows = []
    subprocess.run([*OPSTORE, "start"], env=environ, check=True, capture_output=True)
    try:
        running = local_daemon.find(folder / "home")
        assert running is not None
        for name, command, moved in (
            ("push", ["push", "big", str(source)], lambda: _size(folder / "home" / "blobs" / "staging")),
            ("pull", ["pull", "big", "-o", str(target)], lambda: _size(folder, ".target.")),
        ):
            kept = _killed_in_the_middle([*OPSTORE, *command], environ, moved, mib * MIB // 2)
            left = 0 if files and name == "pull" else kept
            second = subprocess.Popen([*OPSTORE, *command], env=environ, stdout=subprocess.DEVNULL)
            client = _peak_of(second)
            rows.append((name, left / MIB, mib - left / MIB, client, _peak(running.pid)))
        if not _are_alike(source, target):
            raise SystemExit("what was pulled differs from what was pushed")
    finally:
        subprocess.run([*OPSTORE, "stop"], env=environ, check=True, capture_output=True)
    return rows


def _make(source: Path, mib: int, files: int) -> None:
    if not files:
        with source.open("wb") as file:
            for _ in range(mib):
                file.write(random.randbytes(MIB))
        return
    source.mkdir()
    for number in range(files):
        (source / f"{number % 100:02}").mkdir(exist_ok=True)
        (source / f"{number % 100:02}/{number}").write_bytes(random.randbytes(mib * MIB // files))


def _are_alike(source: Path, target: Path) -> bool:
    if source.is_file():
        return filecmp.cmp(source, target, shallow=False)
    names = [[path.relative_to(root) for path in sorted(root.rglob("*"))] for root in (source, target)]
    files = [name for name in names[0] if (source / name).is_file()]
    return names[0] == names[1] and all(filecmp.cmp(source / name, target / name, shallow=False) for name in files)


def _killed_in_the_middle(command: list[str], environ: dict[str, str], moved: Callable[[], int], when: int) -> int:
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as client:
        while moved() < when:
            if client.poll() is not None:
                raise SystemExit("the client ended before it could be killed")
            time.sleep(0.005)
        client.kill()
    return moved()


def _peak_of(client: "subprocess.Popen[bytes]") -> float:
    """Waits for the client; its peak in MiB."""
    _, status, usage = os.wait4(client.pid, 0)
    client.returncode = os.waitstatus_to_exitcode(status)
    if client.returncode:
        raise SystemExit(f"the second client ended with {client.returncode}")
    return usage.ru_maxrss / 1024


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _size(folder: Path, start: str = "") -> int:
    """The bytes of the largest file, or of all files in a folder, whose name begins so."""
    found = [path for path in folder.glob(f"{start}*") if path.is_file()]
    inside = [path for hidden in folder.glob(f"{start}*") if start for path in hidden.rglob("*") if path.is_file()]
    return max((path.stat().st_size for path in found), default=0) + sum(path.stat().st_size for path in inside)


if __name__ == "__main__":
    sys.exit(main())

"""Runs of operations in children of a zygote, each with at most one fault."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import strace
from tests.faults.points import KILL, Fault, Point

Observer = Callable[[int], AbstractContextManager[None]]
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a child wrote, its exit code, and its calls up to its first outcome. `struck`: the fault occurred."""

    said: list[tuple[str, Any]]
    code: int
    points: Sequence[Point] = ()
    struck: bool = False

    @property
    def words(self) -> list[str]:
        """Return the first words of the lines."""
        return [word for word, _ in self.said]

    def value(self, word: str) -> Any:
        """Return what the first line with that word says."""
        return next(value for found, value in self.said if found == word)


class Zygote:
    """Starts the runs of operations; `traced`: faults by strace, else by patches in the process."""

    def __init__(self, folder: Path, *, traced: bool) -> None:
        self._folder, self.traced = folder, traced
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.faults.zygote"],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what it logs
        )

    def run(self, name: str, home: Path) -> Outcome:
        """Run the operation without a fault, unobserved."""
        *said, (_, code) = self._run(name, home, None)
        return Outcome(said, code)

    def run_with(self, name: str, home: Path, fault: Fault | None) -> Outcome:
        """Run the operation, with a fault or to record its calls."""
        if self.traced:
            trace = self._folder / "trace"
            *said, (_, code) = self._run(name, home, None, lambda pid: strace.attached(pid, trace, fault))
            return Outcome(said, code, *strace.read(trace, home))
        patches = [] if fault is None else [fault.point.call, fault.point.number, fault.what]
        *lines, (_, code) = self._run(name, home, patches)
        points = [Point(*call) for word, calls in lines if word == "points" for call in calls]
        said = [line for line in lines if line[0] != "points"]
        numbers = [(point.call, point.number) for point in points]
        struck = fault is not None and (fault.point.call, fault.point.number) in numbers
        return Outcome(said, code, points, struck)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _run(
        self, name: str, home: Path, patches: list[Any] | None, observed: Observer | None = None
    ) -> list[tuple[str, Any]]:
        """Return the lines of a child; the last one has its exit code."""
        self._say(json.dumps([name, str(home), patches]) + "\n")
        said = [self._hear()]
        if said[0][0] == "ready":
            _, pid = said.pop()
            with observed(pid) if observed is not None else nullcontext():
                self._say("\n")
                said.append(self._hear())
                while said[-1][0] != "ended":
                    said.append(self._hear())
        return said

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def _hear(self) -> tuple[str, Any]:
        assert self._process.stdout is not None
        word, _, value = self._process.stdout.readline().decode().partition(" ")
        assert word, "the zygote died"
        return word, json.loads(value)


def faults_of(points: Sequence[Point], *, kill: bool) -> list[Fault]:
    """Return all kills, or all failures, that a run with these calls can have."""
    if kill:
        return [Fault(point, KILL) for point in points if point.changes]
    return [Fault(point, error) for point in points for error in point.errors]

"""A command, or a function of this process, that can be run on a set of versions."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from opstore_cli.evidence.environment import environment, shared_variables
from opstore_cli.evidence.outcome import Outcome
from opstore_cli.evidence.pulled_set import PulledSet
from opstore_cli.evidence.script import Script
from opstore_cli.evidence.watcher import Watcher
from opstore_cli.processes import starting
from opstore_cli.processes.ending_signals import EndingSignals
from opstore_cli.processes.output import KeptOutput
from opstore_cli.processes.run import Finished, run

CAN_NOT_TELL = 125  # the exit code of a command that can't tell, as of `git bisect run`


class Runnable(Protocol):
    """A command or a function. Two are the same if `command` and the digest of the script are equal."""

    @property
    def command(self) -> tuple[str, ...]: ...

    @property
    def script(self) -> Script | None: ...

    @property
    def needs_files(self) -> bool:
        """Return whether the set has to be pulled before it runs."""

    def check(self) -> None:
        """Raise CommandNotStarted if it can't be run, before anything is pulled."""

    def run(
        self, pulled: PulledSet, output: KeptOutput, signals: EndingSignals, watcher: Watcher, timeout: float | None
    ) -> Outcome:
        """Run it on the set. Raises CommandNotStarted, KeyboardInterrupt, and what the watcher raises."""


@dataclass(frozen=True)
class CommandRunnable:
    """A command, as words. `further`: variables that its own `opstore` needs."""

    command: tuple[str, ...]
    script: Script | None = None
    further: Mapping[str, str] = field(default_factory=dict)
    needs_files: bool = True

    def check(self) -> None:
        starting.check_startable(self.command)

    def run(
        self, pulled: PulledSet, output: KeptOutput, signals: EndingSignals, watcher: Watcher, timeout: float | None
    ) -> Outcome:
        variables = environment(os.environ, pulled, self.further)
        finished = run(self.command, variables, output, signals, timeout=timeout, copy=watcher.copy)
        if finished.left_output_open:
            watcher.note("a process that the command started still has its output open: nobody waits for it")
        return _outcome(finished, timeout)


def warn_of_shared_variables(ops: Sequence[str], watcher: Watcher) -> None:
    """Say which ops have no variable of their own."""
    for name, shared in shared_variables(ops).items():
        watcher.note(f"{name} is not set: it would be the path of {' and of '.join(shared)}; use OPSTORE_DIR")


def _outcome(finished: Finished, timeout: float | None) -> Outcome:
    code = finished.exit_code
    if code is None:
        return Outcome("unknown", f"it did not end within {timeout:g} s", is_final=True)
    if code < 0:
        return Outcome("failed", f"it was killed by {starting.signal_name(-code)}", code)
    if code == CAN_NOT_TELL:
        return Outcome("unknown", f"exit code {code}: it can't tell", code)
    return Outcome("failed" if code else "passed", f"exit code {code}", code)

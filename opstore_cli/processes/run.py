"""Run a command to its end, or end it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opstore_cli.processes.ending_signals import EndingSignals
from opstore_cli.processes.group import ProcessGroup
from opstore_cli.processes.output import Copy, KeptOutput, OutputReader


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended.

    `exit_code` is below 0 if a signal killed it, and None if it was ended because it took too long.
    `left_output_open`: a process that it started is not in its group, and may go on printing.
    """

    exit_code: int | None
    left_output_open: bool


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    output: KeptOutput,
    signals: EndingSignals,
    *,
    timeout: float | None = None,
    copy: Copy | None = None,
) -> Finished:
    """Run the command without a shell, a terminal or input; what it left in its process group is ended with it.

    Its output goes to `output`, and to `copy` as it arrives, in another thread. A signal that ends this process ends
    the command. Raises CommandNotStarted, and what `copy` raises.
    """
    signals.hold()
    group = ProcessGroup.start(words, environment)
    reader = OutputReader(group.output, output, copy)
    try:
        signals.release(group.signal)
        exit_code = group.wait(timeout)
        signals.hold()
        group.end()
        signals.release(lambda _: None)  # a screen that is held keeps the copy waiting
    except BaseException:
        signals.hold()
        group.end(has_signal=signals.has_received)
        raise
    finally:
        reader.finish()
    return Finished(exit_code, reader.is_open)

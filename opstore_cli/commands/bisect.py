"""`opstore bisect`: find the entry of the journal that broke a pipeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import DurationType, EndType, NumberType, PipelineNameType
from opstore_cli.console.session import Session
from opstore_cli.console.trailing_words import TrailingWordsCommand, check_run, trailing_option
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName

if TYPE_CHECKING:
    from opstore_cli.client.bisection_ends import End

_ENDS = "LOCK|TIME|POSITION"


class _BisectCommand(TrailingWordsCommand):
    trailing = "--run"


@command("bisect", cls=_BisectCommand)
@click.argument("pipeline", required=False, type=PipelineNameType())
@click.option(
    "--good",
    metavar=_ENDS,
    type=EndType(),
    required=True,
    help="When the pipeline worked: a lock file, a time as for --as-of, or a position of the journal.",
)
@click.option("--bad", metavar=_ENDS, type=EndType(), help="When it was broken, in the same way (default: now).")
@click.option("--rerun", is_flag=True, help="Ignore the results of earlier runs.")
@click.option(
    "--timeout",
    metavar="TIME",
    type=DurationType(above_zero=True),
    help="End the command after this time (90s, 10m): it can't tell.",
)
@click.option(
    "--repeat",
    metavar="N",
    type=NumberType(min=1, max=1000),
    default=1,
    help="Run the command N times on each set: if two results differ, it can't tell.",
)
@click.option(
    "--script",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file that tells whether an earlier run ran the same code (default: the file that CMD names).",
)
@click.option(
    "--lock", metavar="FILE", type=click.Path(path_type=Path), help="Write the versions of the last good set to FILE."
)
@trailing_option("--run", "words", "Run this command on each set; it takes all words that follow.")
def bisect(
    session: Session,
    pipeline: PipelineName | None,
    good: "End",
    bad: "End | None",
    rerun: bool,
    timeout: float | None,
    repeat: int,
    script: Path | None,
    lock: Path | None,
    words: Sequence[str],
) -> int:
    """Find the change that broke a pipeline: run a command on the latest versions of the past.

    \b
    Examples:
      opstore bisect churn --good release.lock --run python evaluate.py
      opstore bisect churn --good '2 weeks ago' --bad yesterday --run pytest -q tests
      opstore bisect churn --good 120 --lock good.lock --run ./evaluate.sh

    CMD runs as `opstore verify` runs it: exit code 0 means that the versions work, 125 that CMD can't tell, and any
    other that they don't. The versions at the bad end are tested first, then those in the middle, and so on: for 64
    changes at most 7 runs. Versions that can't be tested or pulled are skipped.

    --good and --bad take a lock if there is a file of that name, else a time or a position (opstore log). A lock means
    the newest position at which its versions were the latest ones. The good end is not tested.

    Every run is recorded, and a result of the same command and script is used again: repeat an interrupted bisection
    to resume it.

    The exit code is 0 if one change broke the pipeline, 3 if it is one of several, since some could not be tested, or
    if the bad end can't be tested, and 1 if the bad end passes.

    Off a terminal each line is a key and its value. The lines after them are those of opstore diff.
    """
    name = check_run(session, pipeline, words)
    if lock is not None:
        from opstore_cli import lockfile

        lockfile.check_target(lock)
    from opstore_cli.console import bisection
    from opstore_cli.transfer.interruption import InterruptedTransfer

    client = session.client()
    watcher = bisection.StepWatcher(session.out)
    try:
        found = client._bisect(
            name,
            client._runnable(words, script),
            good,
            bad,
            rerun=rerun,
            timeout=timeout,
            repeat=repeat,
            notify=watcher.show,
            watcher=watcher,
        )
    except (errors.NotBroken, errors.BadEndUntested) as failure:
        return bisection.report_no_answer(session.out, failure)
    except KeyboardInterrupt:
        watcher.note_interrupted()
        raise InterruptedTransfer from None
    if lock is not None:
        bisection.write_lock(session.out, lock, found)
    bisection.report(session.out, found)
    if not found.last_good_tested:
        bisection.warn_untested(session.out, found, words)
    return 0 if found else errors.BadEndUntested.exit_code

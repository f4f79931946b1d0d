"""`opstore verify`: run a command on a set of versions, and record what it showed."""

from collections.abc import Sequence
from pathlib import Path

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive, use_option
from opstore_cli.console.parameters import DirectoryType, DurationType, NumberType, PathType, PipelineNameType
from opstore_cli.console.session import Session
from opstore_cli.console.trailing_words import TrailingWordsCommand, check_run, trailing_option
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference


class _VerifyCommand(TrailingWordsCommand):
    trailing = "--run"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.UsageError as error:
            if "extra argument" in error.message and not any(arg.startswith(self.trailing) for arg in args):
                raise _CommandWithoutRun(error.message, ctx) from None
            raise


class _CommandWithoutRun(click.UsageError):
    """The words of the command follow the pipeline."""

    advice = "name the command with --run: opstore verify PIPELINE --run CMD"


@command("verify", cls=_VerifyCommand)
@click.argument("pipeline", required=False, type=PipelineNameType())
@trailing_option("--run", "words", "Run this command; it takes all words that follow.")
@use_option
@click.option("--lock", metavar="FILE", type=click.Path(path_type=Path), help="Use the versions of this lock file.")
@click.option("--resolved", is_flag=True, help="Use the newest versions that are valid together.")
@click.option(
    "-d",
    "--directory",
    metavar="DIR",
    type=DirectoryType(),
    help="Pull to DIR, which stays, and write the lock to DIR.lock (default: a temporary folder).",
)
@click.option("-f", "--force", is_flag=True, help="With -d: overwrite what is there.")
@click.option("--timeout", metavar="TIME", type=DurationType(above_zero=True), help="End the command after this time.")
@click.option(
    "--repeat",
    metavar="N",
    type=NumberType(min=1, max=1000),
    default=1,
    help="Run the command N times; all must agree.",
)
@click.option(
    "--script",
    metavar="FILE",
    type=PathType(exists=True, dir_okay=False),
    help="The script whose digest is recorded (default: the file that the command names).",
)
def verify(
    session: Session,
    pipeline: PipelineName | None,
    words: Sequence[str],
    use: Sequence[Reference],
    lock: Path | None,
    resolved: bool,
    directory: str | None,
    force: bool,
    timeout: float | None,
    repeat: int,
    script: str | None,
) -> int:
    """Run a command on the versions of a pipeline, and record what it showed. If the command passes, every edge of the
    pipeline is recorded as valid for exactly these versions.

    \b
    Examples:
      opstore verify churn --run python eval.py
      opstore verify churn --use pca@1.1.0 --run python eval.py --min-accuracy 0.9
      opstore verify churn --lock opstore.lock --timeout 30m --run ./eval.sh
      opstore verify churn --repeat 3 --run pytest tests/models

    The latest versions are tested unless --use, --lock or --resolved selects others. opstore pulls them, read-only,
    and runs the command without a shell in the current folder. The command finds the files by variables:

    \b
      OPSTORE_DIR        the folder with all files
      OPSTORE_OP_<NAME>  the file or folder of an op, its name in upper case
      OPSTORE_LOCK       a lock file with the versions

    The command passes with exit code 0, can't tell with 125, and fails with any other. verify exits with 0, 3 or 1.
    The result is unknown if the command takes longer than --timeout, if --repeat shows different results, or if the
    files or the script change meanwhile. Every result is recorded as a run, and opstore runs lists them.

    A link that somebody recorded as invalid stays, with exit code 1: opstore link reverses it. After an interrupt
    nothing is recorded.
    """
    check_exclusive(lock=lock, use=use)
    check_exclusive(lock=lock, resolved=resolved)
    if force and directory is None:
        raise click.UsageError("--force needs -d: a temporary folder is empty")
    name = check_run(session, pipeline, words)
    from opstore_cli.client.set_runs import Place
    from opstore_cli.console import lock_files
    from opstore_cli.console.verification import CommandWatcher, write_recorded

    pinned = None if lock is None else lock_files.read(lock, PipelineName.parse(name))
    client = session.client()
    watcher = CommandWatcher(session.out)
    try:
        recorded = client._verify(
            name,
            client._runnable(words, script),
            watcher,
            use=use,
            lock=None if pinned is None else pinned.record(),
            resolved=resolved,
            place=Place(None if directory is None else Path(directory), overwrite=force),
            timeout=timeout,
            repeat=repeat,
        )
    except KeyboardInterrupt:
        watcher.note_interrupted()
        raise
    finally:
        watcher.finish()
    if pinned is not None:
        numbers = {each.op: each.version for each in recorded.run.versions}
        lock_files.note_other_numbers(session.out, pinned, numbers)
    return write_recorded(session.out, client, recorded)

"""The console script: run the command line, and report every error at one boundary."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from opstore_cli.console.application import COMPLETE_VARIABLE, FIRST, cli
from opstore_cli.console.session import Session
from opstore_cli.output import streams
from opstore_daemon.protocol import errors

INTERRUPTED, BROKEN_PIPE = 130, 141
_LAST_OPTIONS = ("--", "--run", "--from-command")  # what follows them are no options of ours


def run() -> NoReturn:
    """Run the command line of this process and exit with its code. This is the console script."""
    _collect_less()
    streams.prepare()
    if COMPLETE_VARIABLE in os.environ:
        from opstore_cli.console import shell_scripts

        shell_scripts.respond()
    code = main(sys.argv[1:], Session())
    streams.flush_at_exit()
    sys.exit(code)


def _collect_less() -> None:
    # The process ends soon: collecting garbage took 10 ms of each command, and 30 ms more at exit.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def main(args: Sequence[str], session: Session) -> int:
    """Run a command line and return the exit code. Every error ends here, as a message on stderr."""
    try:
        code = _invoke(list(args), session)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as failure:  # noqa: BLE001 - the one boundary; a bare exit 1 would read as "invalid"
        return _report(failure, args, session)
    return code


def _invoke(args: list[str], session: Session) -> int:
    # Not cli.main(), which exits with 1 on a broken pipe.
    try:
        with cli.make_context("opstore", args, obj=session) as ctx:
            return cli.invoke(ctx) or 0
    except click.exceptions.Exit as done:
        return done.exit_code


def _report(failure: BaseException, args: Sequence[str], session: Session) -> int:
    out = session.out
    if isinstance(failure, errors.OpStoreError):
        out.error(failure)
        return failure.exit_code
    if isinstance(failure, click.ClickException):
        return _report_usage(failure, args, session)
    if isinstance(failure, KeyboardInterrupt | click.Abort):
        out.failure("Interrupted", "interrupted", _resume_advice(failure, args))
        return INTERRUPTED
    if isinstance(failure, BrokenPipeError):
        return BROKEN_PIPE
    return _report_bug(failure, session)


def _resume_advice(failure: BaseException, args: Sequence[str]) -> str:
    """Return the command that resumes the transfer which was interrupted, if there is one."""
    from opstore_cli.transfer.interruption import InterruptedTransfer

    if not isinstance(failure, InterruptedTransfer):
        return ""
    import shlex

    from opstore_daemon.protocol.passwords import without_passwords

    return f"resume it with: {without_passwords(shlex.join(['opstore', *args]))}"


def _report_usage(failure: click.ClickException, args: Sequence[str], session: Session) -> int:
    # click has not parsed the options after the one that failed.
    end = next((place for place, arg in enumerate(args) if arg in _LAST_OPTIONS), len(args))
    options = args[:end]
    session.out.json = session.out.json or "--json" in options
    ctx = getattr(failure, "ctx", None)
    if isinstance(failure, click.exceptions.NoArgsIsHelpError) and not session.out.json:
        click.echo(FIRST if ctx is not None and ctx.parent is None else failure.message, err=True)
        return errors.Refused.exit_code
    if isinstance(failure, click.exceptions.NoArgsIsHelpError):
        session.out.failure("Usage", "give a command", f"{ctx.command_path if ctx is not None else 'opstore'} --help")
        return errors.Refused.exit_code
    from opstore_cli.console import usage_errors

    session.out.failure("Usage", usage_errors.describe(failure), usage_errors.suggest(failure))
    return errors.Refused.exit_code


def _report_bug(failure: BaseException, session: Session) -> int:
    import traceback
    import uuid

    details: dict[str, Any] = {"reference": uuid.uuid4().hex[:12]}
    trace = traceback.format_exception(failure)
    if session.out.verbose:
        session.out.traceback(trace)
        if session.out.json:
            details["traceback"] = "".join(trace)
    bug = errors.InternalError(**details)
    text = f"{bug.text}: {type(failure).__name__}: {failure}"
    advice = "report this" if session.out.verbose else "run the command again with -v, and report the output"
    session.out.failure(bug.code, text, advice, {} if not session.out.json else details)
    return bug.exit_code

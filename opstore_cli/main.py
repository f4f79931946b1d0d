"""The command line: a group that imports a command when it is called, and the one boundary where errors end."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from opstore_cli.console.command import HELP, Group, Session
from opstore_cli.output import streams
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__

# The help of the whole must not import the parts: each name, its module and the first sentence of its help.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Versions": {
        "push": ("opstore_cli.commands.push", "Store a file or a folder as a version of an op."),
        "register": ("opstore_cli.commands.register", "Register a version of an op without bytes."),
        "pull": ("opstore_cli.commands.pull", "Write the bytes of a version to a file or a folder."),
        "versions": ("opstore_cli.commands.versions", "List the versions of an op, newest first."),
        "show": ("opstore_cli.commands.show", "Show all that is known of one version."),
        "ops": ("opstore_cli.commands.ops", "List all ops."),
        "tag": ("opstore_cli.commands.tag", "Put a tag on a version."),
        "untag": ("opstore_cli.commands.untag", "Take a tag away from an op."),
        "tags": ("opstore_cli.commands.tags", "List the tags, newest first."),
        "yank": ("opstore_cli.commands.yank", "Yank a version."),
        "unyank": ("opstore_cli.commands.unyank", "End that a version is yanked."),
        "op": ("opstore_cli.commands.op", "Set the compatibility level of an op."),
    },
    "Links and verdicts": {
        "link": ("opstore_cli.commands.link", "Say that an upstream version is valid for a downstream op."),
        "unlink": ("opstore_cli.commands.unlink", "Revoke a link."),
        "links": ("opstore_cli.commands.links", "List the links in force, newest first."),
        "validate": ("opstore_cli.commands.validate", "Give the verdict for a pipeline, or for one edge."),
        "resolve": (
            "opstore_cli.commands.resolve",
            "Find the newest versions of a pipeline that are valid with one another.",
        ),
        "affected": ("opstore_cli.commands.affected", "List what has to be retrained for a version."),
        "graph": ("opstore_cli.commands.graph", "Draw a pipeline with its verdicts."),
        "pipeline": ("opstore_cli.commands.pipeline", "Register, list, show and remove pipelines."),
    },
    "Upkeep": {
        "import": ("opstore_cli.commands.import_", "Take over what another store holds."),
    },
    "The daemon": {
        "serve": ("opstore_cli.commands.serve", "Run the daemon in the foreground."),
        "start": ("opstore_cli.commands.start", "Start the local daemon in the background."),
        "stop": ("opstore_cli.commands.stop", "Stop the local daemon."),
        "restart": ("opstore_cli.commands.restart", "Stop the local daemon and start this version of it."),
        "status": ("opstore_cli.commands.status", "Say whether the daemon runs, and where."),
        "db": ("opstore_cli.commands.db", "Upgrade the daemon's database, or say which schema it has."),
    },
    "Access and health": {
        "open": ("opstore_cli.commands.open", "Open the daemon's page in the browser."),
        "login": ("opstore_cli.commands.login", "Keep a token for the daemon at a URL."),
        "logout": ("opstore_cli.commands.logout", "Forget the token that `login` kept for a URL."),
        "token": ("opstore_cli.commands.token", "Print the token of the local daemon."),
        "completion": ("opstore_cli.commands.completion", "Print the script that makes a shell complete commands."),
        "doctor": ("opstore_cli.commands.doctor", "Find what usually goes wrong, and say what to do about it."),
    },
}
FIRST = """\
opstore keeps the steps of machine-learning pipelines: their versions, which of
them are valid for each other, and their bytes.

What to do first:
  opstore push pca pca.bin                             keep a file as an op
  opstore push forest forest.bin --valid-with pca      another, trained on it
  opstore pipeline register churn pca forest           name the two a pipeline
  opstore validate churn                               may it be deployed?

  opstore open       look at it all in the browser
  opstore --help     see every command
  opstore doctor     find out why something does not work
"""
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}

INTERRUPTED, READER_GONE = 130, 141
ASKED_BY_SHELL = "_OPSTORE_COMPLETE"  # a variable that the scripts of completions/ set


class LazyGroup(Group):
    """The commands by their names, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0], f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            # click looks for similar names among the commands that are loaded: none.
            raise click.UsageError(_no_such_command(args[0], str(error.message)), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, help_text) for name, (_, help_text) in commands.items()])


def _no_such_command(given: str, message: str) -> str:
    from difflib import get_close_matches

    similar = get_close_matches(given, COMMANDS)
    return f"{message} Did you mean {' or '.join(similar)}?" if similar else message


@click.group("opstore", cls=LazyGroup, context_settings=HELP)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """opstore keeps the steps of machine-learning pipelines: their versions, which of them are valid for each other,
    and their bytes.

    On a terminal the commands draw tables. Elsewhere they write plain lines whose columns are set apart by tabs,
    without a header, with exact times and sizes in bytes.

    Exit codes: 0 done, valid; 1 the answer is no; 2 wrong usage; 3 the verdict is unknown; 4 not found; 5 conflict;
    6 bytes do not match their digest; 7 the daemon can't be reached; 8 not authorised; 9 the store can't; 70 an
    internal error; 130 interrupted; 141 the reader of a pipe went away.

    \b
    Examples:
      opstore push pca pca.bin
      opstore push random_forest forest.bin --valid-with pca
      opstore pipeline register churn pca random_forest
      opstore validate churn
    """


def run() -> NoReturn:
    """The console script: runs the command line and exits with its code."""
    _collect_less()
    streams.settle()
    if ASKED_BY_SHELL in os.environ:
        from opstore_cli.console import shell_scripts

        shell_scripts.register()
        cli.main(prog_name="opstore", obj=Session())  # click answers the shell, and exits
    code = main(sys.argv[1:], Session())
    streams.let_go()
    sys.exit(code)


def _collect_less() -> None:
    # What a command leaves goes with its process: to look for it took 10 ms of each, and 30 more at its end.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def main(args: Sequence[str], session: Session) -> int:
    """Runs the command line; returns the exit code. Every error ends here, as words on stderr."""
    try:
        code = _invoke(list(args), session)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as failure:  # noqa: BLE001 - the one boundary; a bare exit 1 would read as "invalid"
        return _report(failure, args, session)
    return code


def _invoke(args: list[str], session: Session) -> int:
    # Not cli.main(): that exits 1 by itself where a pipe's reader went away.
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
        out.failure("Interrupted", "interrupted")
        return INTERRUPTED
    if isinstance(failure, BrokenPipeError):
        return READER_GONE
    return _report_bug(failure, session)


def _report_usage(failure: click.ClickException, args: Sequence[str], session: Session) -> int:
    # Where parsing failed, the options behind the failure were not looked at.
    before_operands = args[: args.index("--")] if "--" in args else args
    session.out.json = session.out.json or "--json" in before_operands
    ctx = getattr(failure, "ctx", None)
    if isinstance(failure, click.exceptions.NoArgsIsHelpError) and not session.out.json:
        click.echo(FIRST if ctx is not None and ctx.parent is None else failure.message, err=True)
        return errors.Refused.exit_code
    message = "a command is missing" if isinstance(failure, click.exceptions.NoArgsIsHelpError) else ""
    message = message or " ".join(failure.format_message().split())
    session.out.failure("Usage", message, f"{ctx.command_path} --help" if ctx is not None else "opstore --help")
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
    advice = "report this" if session.out.verbose else "run the command again with -v, and report what it shows"
    session.out.failure(bug.code, text, advice, {} if not session.out.json else details)
    return bug.exit_code

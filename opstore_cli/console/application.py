"""The click application: a group that imports a command when it is called."""

from importlib import import_module
from keyword import iskeyword

import click

from opstore_cli.console.command import HELP, Group
from opstore_daemon.protocol._version import __version__

# The module of each command and the first sentence of its help: `opstore --help` must not import the commands.
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
COMPLETE_VARIABLE = "_OPSTORE_COMPLETE"  # set by the scripts in completions/


class LazyGroup(Group):
    """A group that imports a command when it is called."""

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
            # click would suggest similar names among the imported commands: there are none.
            raise click.UsageError(_with_suggestions(args[0], str(error.message)), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, help_text) for name, (_, help_text) in commands.items()])


def _with_suggestions(name: str, message: str) -> str:
    from difflib import get_close_matches

    similar = get_close_matches(name, COMMANDS)
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

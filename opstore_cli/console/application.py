"""The click application: a group that imports a command when it is called."""

from importlib import import_module

import click

from opstore_cli.console.command import HELP, Group
from opstore_daemon.protocol._version import __version__

# The module of each command and the first sentence of its help: `opstore --help` must not import the commands.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Versions": {
        "push": ("opstore_cli.commands.push", "Store a file or a folder as a version of an op."),
        "register": ("opstore_cli.commands.register", "Register a version of an op without bytes."),
        "pull": ("opstore_cli.commands.pull", "Write the bytes of a version to a file or a folder."),
        "versions": ("opstore_cli.commands.versions", "List the versions of one or more ops, newest first."),
        "show": (
            "opstore_cli.commands.show",
            "Show everything about a version.",
        ),
        "ops": ("opstore_cli.commands.ops", "List all ops by name."),
        "diff": ("opstore_cli.commands.diff", "Show what differs between two versions."),
        "log": ("opstore_cli.commands.log", "List what changed in the store, newest first."),
        "edit": ("opstore_cli.commands.edit", "Change the message and the labels of a version."),
        "tag": ("opstore_cli.commands.tag", "Tag a version."),
        "untag": ("opstore_cli.commands.untag", "Remove a tag from an op."),
        "tags": ("opstore_cli.commands.tags", "List the tags of all ops, or of one op, newest first."),
        "yank": ("opstore_cli.commands.yank", "Retire a version."),
        "unyank": ("opstore_cli.commands.unyank", "Undo a yank."),
        "remove": ("opstore_cli.commands.remove", "Remove versions for good, or an op that has no versions."),
        "op": ("opstore_cli.commands.op", "Set the compatibility level and the description of an op."),
    },
    "Links and verdicts": {
        "link": ("opstore_cli.commands.link", "Record that an upstream version is valid for a downstream version."),
        "unlink": ("opstore_cli.commands.unlink", "Revoke a link between two versions."),
        "links": ("opstore_cli.commands.links", "List the links in force, newest first."),
        "validate": (
            "opstore_cli.commands.validate",
            "Show whether versions are valid together.",
        ),
        "verify": (
            "opstore_cli.commands.verify",
            "Run a command on the versions of a pipeline, and record what it showed.",
        ),
        "resolve": (
            "opstore_cli.commands.resolve",
            "Find the newest versions of a pipeline that are valid together.",
        ),
        "runs": ("opstore_cli.commands.runs", "List the runs of commands on the versions of a pipeline, newest first."),
        "bisect": (
            "opstore_cli.commands.bisect",
            "Find the change that broke a pipeline.",
        ),
        "affected": (
            "opstore_cli.commands.affected",
            "List the ops to retrain for a version.",
        ),
        "graph": ("opstore_cli.commands.graph", "Draw a pipeline with its verdicts."),
        "pipeline": ("opstore_cli.commands.pipeline", "Register, list, show and remove pipelines."),
    },
    "Maintenance": {
        "gc": ("opstore_cli.commands.gc", "Free the space of what no version refers to."),
        "fsck": ("opstore_cli.commands.fsck", "Check the store."),
        "backup": (
            "opstore_cli.commands.backup",
            "Copy the local store to DIR, beside a running daemon or without one.",
        ),
        "restore": ("opstore_cli.commands.restore", "Restore the backup in DIR into an empty OPSTORE_HOME."),
        "migrate": ("opstore_cli.commands.migrate", "Move the store to another database, another saver, or both."),
        "copy": ("opstore_cli.commands.copy", "Copy versions to another store, with their links and tags."),
        "export": ("opstore_cli.commands.export", "Export versions to a folder, with their links and tags."),
        "import": ("opstore_cli.commands.import_", "Import the contents of another store."),
    },
    "The daemon": {
        "start": ("opstore_cli.commands.start", "Start the local daemon in the background."),
        "stop": ("opstore_cli.commands.stop", "Stop the local daemon."),
        "restart": ("opstore_cli.commands.restart", "Restart the local daemon with this version of opstore."),
        "status": ("opstore_cli.commands.status", "Show which daemon commands use, and its state."),
        "logs": ("opstore_cli.commands.logs", "Print the log of the local daemon."),
        "serve": ("opstore_cli.commands.serve", "Run a daemon in the foreground."),
        "db": ("opstore_cli.commands.db", "Upgrade the daemon's database, or show its schema."),
    },
    "Access and help": {
        "open": ("opstore_cli.commands.open", "Open the daemon's web page in the browser."),
        "login": ("opstore_cli.commands.login", "Log in to a remote daemon."),
        "logout": ("opstore_cli.commands.logout", "Delete the stored token of a remote daemon."),
        "config": ("opstore_cli.commands.config", "Show the settings and where they come from, or change your own."),
        "token": ("opstore_cli.commands.token", "Print the token of the local daemon."),
        "completion": ("opstore_cli.commands.completion", "Print the shell completion script."),
        "doctor": ("opstore_cli.commands.doctor", "Diagnose common problems."),
        "help": ("opstore_cli.commands.help", "Show the help of the program or of a command."),
    },
}
FIRST = """\
opstore stores the steps of machine-learning pipelines: their versions, which of
them are valid together, and their bytes.

First steps:
  opstore push pca pca.bin                             store a file as an op
  opstore push forest forest.bin --valid-with pca      another, trained on it
  opstore pipeline register churn pca forest           make them a pipeline
  opstore validate churn                               may it be deployed?

  opstore open       see it all in the browser
  opstore help       list all commands
  opstore doctor     diagnose problems
"""
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}
TAKEN = {"import", "help"}  # names that Python has, so the functions end with an underscore
COMPLETE_VARIABLE = "_OPSTORE_COMPLETE"  # set by the scripts in completions/


class LazyGroup(Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0], f"{cmd_name}_" if cmd_name in TAKEN else cmd_name
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, help_text) for name, (_, help_text) in commands.items()])


@click.group("opstore", cls=LazyGroup, context_settings=HELP)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Store the steps of machine-learning pipelines: their versions, which of them are valid together, and their bytes.

    \b
    Examples:
      opstore push pca pca.bin
      opstore push random_forest forest.bin --valid-with pca
      opstore pipeline register churn pca random_forest
      opstore validate churn

    On a terminal, commands print tables, in a pager if they are longer than the screen. Off a terminal they print
    tab-separated lines without a header, with exact times and sizes in bytes.

    Exit codes: 0 done, or valid; 1 the answer is no; 2 usage error; 3 the verdict is unknown; 4 not found; 5 conflict;
    6 bytes do not match their digest; 7 the daemon can't be reached; 8 not authorised; 9 storage error; 10 too much
    work; 70 internal error; 130 interrupted; 141 broken pipe.
    """

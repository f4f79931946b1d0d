"""The daemon's command line, which `opstore serve`, `db`, `backup`, `restore` and `migrate` run."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from opstore_daemon.protocol import errors
from opstore_daemon.system.arguments import hide_passwords

if TYPE_CHECKING:
    from opstore_daemon.daemon import CurrentSchema, UpgradedSchema

INTERRUPTED, BROKEN_PIPE = 130, 141  # exit codes


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run the opstore daemon, manage its database, back up its store, or move it."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default="any free port", type=click.IntRange(0, 65535))
@click.option("--db", help="Database URL.", show_default="opstore.db in OPSTORE_HOME")
@click.option(
    "--saver",
    help="Where the bytes go: file:///PATH, s3://BUCKET/PREFIX or memory:.",
    show_default="blobs in OPSTORE_HOME",
)
@click.option("--allow-host", "names", multiple=True, help="An additional host name to answer to.")
@click.option("--behind-proxy", is_flag=True, help="Only a proxy with TLS can reach --host from other machines.")
@click.option("--direct", help="Clients pull and push past the daemon: on, off, or the object store's URL for them.")
@click.option("--background", is_flag=True, hidden=True)
def serve(
    host: str,
    port: int,
    db: str | None,
    saver: str | None,
    names: tuple[str, ...],
    behind_proxy: bool,
    direct: str | None,
    background: bool,
) -> None:
    """Serve until stopped."""
    gc.disable()  # objects made by imports and the start stay, so a collection finds nothing; the daemon enables it
    from opstore_daemon import config, daemon

    daemon.serve(
        config.load(os.environ, db, saver, direct), host, port, names, background=background, behind_proxy=behind_proxy
    )


@main.group()
@click.option("--json", "form", flag_value="json", help="Print a JSON document; errors too.")
@click.option("--quiet", "form", flag_value="quiet", help="Print the schema only.")
@click.pass_context
def db(context: click.Context, form: str | None) -> None:
    """Manage the schema of the database."""
    context.obj = form


@db.command()
@click.option("--db", "url", help="Database URL.")
@click.pass_obj
def upgrade(form: str | None, url: str | None) -> None:
    """Upgrade the schema to this release, after a backup."""
    from opstore_daemon import config, daemon

    _show(lambda: daemon.upgrade(config.load(os.environ, url)), form)


@db.command()
@click.option("--db", "url", help="Database URL.")
@click.pass_obj
def current(form: str | None, url: str | None) -> None:
    """Print the schema of the database."""
    from opstore_daemon import config, daemon

    _show(lambda: daemon.current(config.load(os.environ, url)), form)


@main.command()
@click.option("--saver", required=True, help="The object store to try: s3://BUCKET/PREFIX.")
def probe(saver: str) -> None:
    """Try what an object store does, with objects of its own; print a JSON object for each check."""
    from opstore_daemon.savers import probing

    probing.print_lines(saver)


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--db", help="Database URL.", show_default="opstore.db in OPSTORE_HOME")
@click.option("--saver", help="Where the bytes are: file:///PATH.", show_default="blobs in OPSTORE_HOME")
@click.option("--check", is_flag=True, help="Only read the backup in DIR, and compare it with its manifest.")
@click.option("--checksum", is_flag=True, help="Read blobs that DIR has already, and copy damaged ones again.")
@click.option("--prune", is_flag=True, help="Delete the blobs in DIR that this backup does not need.")
@click.option("--lines", is_flag=True, hidden=True)
def backup(
    folder: Path, db: str | None, saver: str | None, check: bool, checksum: bool, prune: bool, lines: bool
) -> None:
    """Copy the store to DIR, beside a running daemon or without one."""
    from opstore_daemon.backup import program

    program.backup(os.environ, db, saver, folder, check=check, checksum=checksum, prune=prune, lines=lines)


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--db", help="Database URL.", show_default="opstore.db in OPSTORE_HOME")
@click.option("--saver", help="Where the bytes go: file:///PATH.", show_default="blobs in OPSTORE_HOME")
@click.option("--clone", is_flag=True, help="Give the restored store an id of its own.")
@click.option("--partial", is_flag=True, help="Restore what is intact of a damaged backup.")
@click.option("--lines", is_flag=True, hidden=True)
def restore(folder: Path, db: str | None, saver: str | None, clone: bool, partial: bool, lines: bool) -> None:
    """Restore the backup in DIR into a home without content."""
    from opstore_daemon.backup import program

    program.restore(os.environ, db, saver, folder, clone=clone, partial=partial, lines=lines)


@main.command()
@click.option(
    "--to-db",
    metavar="URL",
    envvar="OPSTORE_TO_DB",
    help="Database that the store moves to.",
    show_default="where it is",
)
@click.option("--to-saver", metavar="URL", help="Where the bytes move to.", show_default="where they are")
@click.option("--db", help="Database URL of the store.", show_default="opstore.db in OPSTORE_HOME")
@click.option("--saver", help="Where the bytes of the store are.", show_default="blobs in OPSTORE_HOME")
@click.option("--checksum", is_flag=True, help="Read all blobs back, and copy damaged ones again.")
@click.option("--dry-run", is_flag=True, help="Check both sides, and print what would be moved.")
@click.option("--lines", is_flag=True, hidden=True)
def migrate(
    to_db: str | None,
    to_saver: str | None,
    db: str | None,
    saver: str | None,
    checksum: bool,
    dry_run: bool,
    lines: bool,
) -> None:
    """Move the store to another database and another saver, without a daemon."""
    from opstore_daemon.migration import program

    options = {"checksum": checksum, "dry_run": dry_run, "lines": lines}
    program.migrate(os.environ, db, saver, to_db, to_saver, **options)


@main.command("chariots-export", hidden=True)
@click.option("--db", "url", envvar="OPSTORE_DB", required=True)
def chariots_export(url: str) -> None:
    """Print the contents of a chariots op store as lines of JSON, for `opstore import chariots`."""
    from opstore_daemon.chariots_export import export
    from opstore_daemon.protocol.chariots_export import Failed

    def print_line(line: msgspec.Struct) -> None:
        click.echo(msgspec.json.encode(line))

    try:
        for line in export(url):
            print_line(line)
    except errors.OpStoreError as error:
        print_line(Failed(code=error.code, status=error.status, text=error.text, hint=error.advice))
        sys.exit(error.exit_code)


def _show(work: "Callable[[], CurrentSchema | UpgradedSchema]", form: str | None) -> None:
    """Print the result of `work` in the form; with `json`, also an error."""
    try:
        document = work()
    except errors.OpStoreError as error:
        if form != "json":
            raise
        body = {"code": error.code, "message": error.text, "details": error.details, "hint": error.advice or None}
        click.echo(msgspec.json.encode({"error": body}), err=True)
        sys.exit(error.exit_code)
    _print(
        msgspec.json.encode(document).decode()
        if form == "json"
        else document.schema or "none"
        if form == "quiet"
        else str(document)
    )


def _print(line: str) -> None:
    """Print the line. Raises OutputFailed if standard output, such as a file on a full disk, can't be written."""
    try:
        click.echo(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise errors.OutputFailed(path="standard output", reason=errors.reason(error)) from error


def run() -> NoReturn:
    """Run the command line and exit with its code. Every error ends here, as a message on stderr."""
    code: object = 0
    try:
        # Not as a standalone program: click would exit with 1, "the answer is no", after Ctrl-C and for a broken pipe.
        code = main(prog_name="opstore", standalone_mode=False)
    except SystemExit as end:
        code = end.code
    except click.Abort:  # Ctrl-C, before there is a listener to stop
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:
        code = BROKEN_PIPE
    except errors.OpStoreError as error:
        from opstore_daemon import daemon

        code = daemon.report(error)
    except Exception as failure:  # noqa: BLE001 - the one boundary; a bare exit 1 would read as "the answer is no"
        from opstore_daemon import daemon

        code = daemon.report_bug(failure)
    _flush()
    sys.exit(code)  # type: ignore[arg-type]


def _flush() -> None:
    """Flush the standard streams: Python does so again at exit, and exits with 120 if that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is still buffered goes there


if __name__ == "__main__":
    hide_passwords({"--db": "OPSTORE_DB", "--to-db": "OPSTORE_TO_DB"})
    run()

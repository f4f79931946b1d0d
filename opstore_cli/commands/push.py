"""`opstore push`: a file becomes a version of an op."""

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from opstore_cli import arguments
from opstore_cli.context import Session, command
from opstore_cli.output import named
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Fields


@command("push")
@click.argument("name", callback=arguments.name)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--bump", type=click.Choice(arguments.LEVELS), help="The level that changes (without it: patch).")
@click.option("--new", is_flag=True, help="Make a new version also of bytes that the latest one has already.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, callback=arguments.name, help="A tag for it; repeatable.")
@arguments.version_options
def push(session: Session, /, name: str, file: str, new: bool, fields: "Fields", **options: Any) -> None:
    """Store a file as a version of an op. The op is made where it is new, and the one line on standard output is
    NAME@NUMBER. FILE may be -, standard input. Bytes that the latest version has already make nothing new. The links
    of --valid-for and --valid-with are entered together with the version, or not at all.

    --bump, --field and --version exclude each other: the version comes from the newest one and the bytes, from the
    fields that you name, or from the three subversions that you give.

    \b
    Examples:
      opstore push pca pca.bin
      opstore push pca pca.bin --bump minor -m "twelve components"
      opstore push random_forest - --valid-with pca@1.0.0 < forest.bin
      opstore push pca pca.bin --field major:whiten=true --field minor:seed=7
    """
    arguments.exclusive(bump=options["bump"], field=fields, version=options["version"])
    source = _standard_input() if file == "-" else file
    client = session.client()
    with session.out.progress(f"push {name}"):
        pushed = client.push(name, source, new=new, fields=fields or None, **options)
    reference = named(pushed.op, pushed.number)
    session.out.answer(pushed, quiet=[reference], full=[reference])
    if not pushed.created:
        session.out.note(f"nothing new: {reference} has these bytes already")


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise errors.FileRefused(path="standard input", reason="it is closed")
    return sys.stdin.buffer

"""`opstore diff`: show what differs between two versions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, key_cell, size_cell, text_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.client.comparison import Difference


@command("diff")
@click.argument("one", metavar="REF", type=ReferenceType())
@click.argument("other", metavar="REF", type=ReferenceType())
@click.option("--files/--no-files", default=None, help="Compare the files of folders of any size, or not at all.")
def diff(session: Session, one: Reference, other: Reference, files: bool | None) -> None:
    """Show what differs between two versions: size, message, labels, libraries, tags, format, hashes and, for folders,
    files.

    \b
    Examples:
      opstore diff pca@1.0.0 pca@1.1.0
      opstore diff pca@production pca
      opstore diff tokenizer@1 tokenizer@2 --no-files

    To compare their files, opstore downloads both folders and verifies them. It does that by default if they have at
    most 1 GiB together.

    Off a terminal the columns are the field or file, its value in the first version and its value in the second one; of
    a file these are sizes in bytes. `-` means that there is none.
    """
    with session.out.progress(f"comparing {one} and {other}"):
        found = session.client().diff(one, other, files=files)
    names = [format_reference(version.op, version.version) for version in (found.one, found.other)]
    session.out.write_result(
        found,
        quiet=[*(each.field for each in found.fields), *(each.path for each in found.files or ())],
        full=Table(("WHAT", *names), list(_rows(found)), none="no difference"),
    )
    if found.files is None and found.are_folders and files is None:
        session.out.note("the files were not compared: the folders have more than 1 GiB; --files compares them")


def _rows(found: "Difference") -> Iterator[tuple[Cell | str, Cell, Cell]]:
    for field in found.fields:
        name = field.field if " " in field.field else key_cell(field.field)  # "label created_at" is a label
        yield name, _value(field.field, field.one), _value(field.field, field.other)
    for file in found.files or ():
        one, other = (Cell("-", "") if size is None else size_cell(size) for size in (file.one, file.other))
        yield f"file {file.path} ({file.change})", one, other


def _value(field: str, text: str | None) -> Cell:
    """Return the value of a field: a size and a time are rounded on a terminal."""
    if text is None or field not in ("size", "registered_at"):
        return text_cell(text)
    return size_cell(int(text)) if field == "size" else Cell(text, text.partition(".")[0].removesuffix("Z") + "Z")

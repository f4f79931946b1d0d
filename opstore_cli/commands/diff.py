"""`opstore diff`: show what differs between two versions."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.differences import difference_table
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.references import Reference


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
    session.out.write_result(
        found,
        quiet=[*(each.field for each in found.fields), *(each.path for each in found.files or ())],
        full=difference_table(found),
    )
    if found.files is None and found.are_folders and files is None:
        session.out.note("the files were not compared: the folders have more than 1 GiB; --files compares them")

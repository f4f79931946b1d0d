"""`opstore tag`: put a movable name on a version."""

from collections.abc import Sequence
from pathlib import Path

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceThenTagType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference, TagName


@command("tag")
@click.argument("words", metavar="[REF] TAG", nargs=-1, required=True, type=ReferenceThenTagType())
@click.option(
    "--lock",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Tag every version of this lock.",
)
def tag(session: Session, words: Sequence[str], lock: Path | None) -> None:
    """Tag a version: NAME@TAG selects it from now on. A tag that another version has moves.

    \b
    Examples:
      opstore tag pca@1.2.0 production
      opstore tag pca staging
      opstore tag --lock opstore.lock production

    --lock tags every version of a lock in one step, so that NAME@TAG always selects versions that belong together. The
    journal keeps every move: opstore tags NAME --history.
    """
    if len(words) != (2 if lock is None else 1):
        raise click.UsageError("give REF and TAG" if lock is None else "with --lock, give TAG alone")
    references, tag_name = [Reference.parse(word) for word in words[:-1]], TagName.parse(words[-1])
    if lock is None:
        moved = session.client().tag(references, tag_name)
    else:
        from opstore_cli.console import lock_files

        locked = lock_files.read(lock)
        moved = session.client().tag(locked.record(), tag_name)
        lock_files.note_other_numbers(session.out, locked, {each.op: each.version for each in moved})
    lines = [format_reference(each.op, each.version) for each in moved]
    session.out.write_result({"tags": moved}, quiet=lines, full=[f"{line} is {tag_name}" for line in lines])

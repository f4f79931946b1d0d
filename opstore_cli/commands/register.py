"""`opstore register`: register a version of an op without bytes."""

from typing import TYPE_CHECKING, Any

import click

from opstore_cli.console import push_notes, results
from opstore_cli.console.command import command
from opstore_cli.console.options import check_exclusive, version_options
from opstore_cli.console.parameters import OpNameType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Fields


@command("register")
@click.argument("name", type=OpNameType())
@version_options
def register(session: Session, /, name: OpName, fields: "Fields", **options: Any) -> None:
    """Register a version of an op without bytes, for an op that has nothing to store. Prints NAME@VERSION.

    \b
    Examples:
      opstore register tokenizer --field major:language=en --field minor:stemming=true
      opstore register tokenizer --subversions 6f1c.02aa.e3b0 --valid-for pca

    --field or --subversions determines the version. Registering the same fields or subversions again changes nothing.
    """
    check_exclusive(field=fields, subversions=options["subversions"])
    if not fields and options["subversions"] is None:
        raise click.UsageError("--field or --subversions is needed: there are no bytes to make the version from")
    registered = session.client().register(name, fields=fields or None, **options)
    reference = format_reference(registered.op, registered.version)
    session.out.write_result(registered, quiet=[reference], full=[reference])
    results.note_links(session.out, registered)
    if not registered.created:
        session.out.note(f"nothing new: {reference} is registered already")
        push_notes.note_recorded(session, registered, options)

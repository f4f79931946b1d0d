"""`opstore edit`: change the message and the labels of a version."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from opstore_cli.console.command import command
from opstore_cli.console.options import labels_option
from opstore_cli.console.parameters import LabelKeyType, ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import VersionRecord


@command("edit")
@click.argument("reference", metavar="REF", type=ReferenceType())
@click.option("-m", "--message", metavar="TEXT", help="New message; an empty one removes the message.")
@labels_option("Set a label; repeatable.")
@click.option("--unlabel", metavar="KEY", multiple=True, type=LabelKeyType(), help="Remove a label; repeatable.")
def edit(
    session: Session, reference: Reference, message: str | None, labels: Mapping[str, str], unlabel: Sequence[str]
) -> None:
    """Change the message and the labels of a version.

    \b
    Examples:
      opstore edit pca@1.2.0 -m "trained without the outliers"
      opstore edit pca --label stage=production --unlabel candidate

    The bytes, the version number and the links stay the same. The journal keeps the old message and labels: `opstore
    log NAME` lists the edits, and `opstore show REF --as-of POSITION` shows the state before one.
    """
    if message is None and not labels and not unlabel:
        raise click.UsageError("nothing to change: give -m TEXT, --label KEY=VALUE or --unlabel KEY")
    if both := [key for key in unlabel if key in labels]:
        raise click.UsageError(f"--label and --unlabel both name {both[0]!r}")
    edited = session.client().edit(reference, message=message, labels=labels, unlabel=unlabel)
    name = format_reference(edited.op, edited.version)
    session.out.write_result(edited, quiet=[name], full=[_sentence(name, edited)])


def _sentence(name: str, version: "VersionRecord") -> str:
    message = f"the message {version.message!r}" if version.message else "no message"
    labels = ", ".join(f"{key}={value}" for key, value in sorted(version.labels.items()))
    return f"{name} has {message} and {f'the labels {labels}' if labels else 'no labels'}"

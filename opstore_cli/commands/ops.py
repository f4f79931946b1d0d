"""`opstore ops`: list all ops."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opstore_cli.console.command import command
from opstore_cli.console.options import label_filter_option
from opstore_cli.console.session import Session
from opstore_cli.output.cells import first_line_cell, text_cell
from opstore_cli.output.tables import Table

if TYPE_CHECKING:
    from opstore_daemon.protocol.labels import LabelFilter


@command("ops")
@label_filter_option("Only ops that have a version with this label; KEY alone matches any value; repeatable.")
def ops(session: Session, label: "Sequence[LabelFilter]") -> None:
    """List all ops by name.

    \b
    Examples:
      opstore ops
      opstore ops --label team=search
      opstore ops -q

    Off a terminal the columns are the name, the latest version, the number of versions, the compatibility level and the
    description.
    """
    found = session.client().ops(label=label)
    none = (
        f"no op has a version with {' and '.join(label)}" if label else "no ops yet: opstore push NAME FILE creates one"
    )
    session.out.write_result(
        {"ops": found},
        quiet=[op.name for op in found],
        full=Table(
            ("OP", "LATEST", "VERSIONS", "COMPAT", "DESCRIPTION"),
            [
                (op.name, text_cell(op.latest), str(op.versions), op.compat, first_line_cell(op.description))
                for op in found
            ],
            none=none,
        ),
    )

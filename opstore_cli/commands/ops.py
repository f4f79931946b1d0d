"""`opstore ops`: list all ops."""

from opstore_cli.console.command import command
from opstore_cli.console.session import Session
from opstore_cli.output.cells import text_cell
from opstore_cli.output.tables import Table


@command("ops")
def ops(session: Session) -> None:
    """List all ops. The columns are the name, the latest version, how many versions there are, and the
    compatibility level.

    \b
    Examples:
      opstore ops
      opstore ops -q
      opstore ops --json
    """
    found = session.client().ops()
    session.out.write_result(
        {"ops": found},
        quiet=[op.name for op in found],
        full=Table(
            ("OP", "LATEST", "VERSIONS", "COMPAT"),
            [(op.name, text_cell(op.latest), str(op.versions), op.compat) for op in found],
            none="no ops yet: opstore push NAME FILE creates one",
        ),
    )

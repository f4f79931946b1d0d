"""The items that an import or a copy skips."""

from dataclasses import dataclass

from opstore_cli.output.document import Output
from opstore_daemon.system.stray_bytes import escape_stray_bytes


@dataclass
class Skipped:
    """An item that was not imported, why, and what would help."""

    what: str
    name: str
    reason: str
    hint: str | None


def report_skipped(out: Output, what: str, name: str, reason: str, hint: str = "") -> Skipped:
    """Return the item; warn about it unless the document of --json will list it."""
    if not out.json:
        out.warn(f"skipped {what} {name}: {reason}{f': {hint}' if hint else ''}")
    return Skipped(what, escape_stray_bytes(name), escape_stray_bytes(reason), escape_stray_bytes(hint) or None)

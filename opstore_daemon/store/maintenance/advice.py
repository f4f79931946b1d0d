"""Name the command that helps with a damaged blob."""

from sqlalchemy import Connection, Executable, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Op, Version
from opstore_daemon.protocol.folder_format import FOLDER_FORMAT
from opstore_daemon.protocol.records.fsck import FindingKind
from opstore_daemon.store.catalog import version_rows
from opstore_daemon.store.snapshot import Snapshot


def advice_for(connection: Connection, digest: str, kind: FindingKind) -> str:
    """Return what to do about a blob with a problem of that kind; empty if no version has it any more.

    A push of older bytes would make them the latest version. So the version is named by its subversions then: that push
    makes nothing new, and refuses other bytes.
    """
    row = _newest(digest=digest).run(connection).first()
    if row is None:
        return ""
    latest = version_rows.latest(Snapshot(connection), row.op_id)
    source = "FOLDER" if row.format == FOLDER_FORMAT else "FILE"
    command = f"opstore push {row.name} {source}"
    if latest is None or latest.digest != digest:
        command += f" --subversions {row.major}.{row.minor}.{row.patch}"
    push = f"push the same bytes again: {command}"
    return f"let the daemon's user read it, or {push}" if kind == "unreadable" else push


@prepared
def _newest(*, digest: str) -> Executable:
    columns = (Op.name, Version.op_id, Version.format, Version.major, Version.minor, Version.patch)
    found = select(*columns).join(Op, Op.id == Version.op_id)
    found = found.where(Version.digest == digest, Version.removed_position.is_(None))
    return found.order_by(Version.position.desc()).limit(1)

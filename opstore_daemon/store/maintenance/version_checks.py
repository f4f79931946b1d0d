"""The check of the versions: the sequences of each op, and what the schema can't state about their numbers."""

from typing import Any

from sqlalchemy import BigInteger, Connection, Executable, ScalarSelect, select, type_coerce

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Journal, Op, Version, aliased
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store.maintenance.journal_checks import gaps
from opstore_daemon.store.maintenance.pages import Page, Steps

VERSIONS = 1000  # that one page looks at
OPS = 200


def check_versions(page: Page, begin: str) -> Steps:
    """Look at the versions of each op by sequence, in one snapshot of the database for each page."""
    op_id, _, after = begin.partition("/")
    yield
    with page.database.read() as connection:
        return _check_ops(page, connection, int(op_id or "0"), int(after or "0"))


def _check_ops(page: Page, connection: Connection, op_id: int, after: int) -> str | None:
    """Check versions from the one after the sequence `after` of the op on; return where the next page begins."""
    left = VERSIONS
    ops = _ops(OPS, op_id=op_id).run(connection).all()
    for id_, name, last_sequence in ops:
        rows = _versions(op_id=id_, after=after if id_ == op_id else 0, limit=left).run(connection).all()
        begin = after if id_ == op_id else 0
        end = rows[-1].sequence if len(rows) == left else max(last_sequence, *(row.sequence for row in rows), 0)
        _check_sequences(page, name, {row.sequence for row in rows}, begin, end, last_sequence)
        _check_rows(page, name, rows)
        left -= len(rows)
        if left == 0:
            return f"{id_}/{end}"
    return f"{ops[-1].id + 1}/0" if len(ops) == OPS else None


def _check_sequences(page: Page, op: str, there: set[int], begin: int, end: int, last: int) -> None:
    for low, high in gaps(there, begin + 1, end + 1):
        what = f"{op}, sequence {low}" if low == high else f"{op}, sequences {low} to {high}"
        page.add("sequence", what, "no version has it", page.database.advice)
    if end > last:
        page.add("sequence", f"{op}, sequence {end}", f"the op has counted {last} versions", page.database.advice)


def _check_rows(page: Page, op: str, rows: Any) -> None:
    before = None
    for row in rows:
        what = format_reference(op, str(VersionNumber(row.major_number, row.minor_number, row.patch_number)))
        for number, is_wrong in (("major", row.other_major), ("minor", row.other_minor)):
            if is_wrong:
                observed = f"its {number} number and its {number} subversion do not belong together"
                page.add("number", what, observed, page.database.advice)
        if before is not None and row.position <= before:
            page.add("row", what, "its position is before that of the version before it", page.database.advice)
        if row.stored_position is not None and row.stored_position < row.position:
            page.add("row", what, "its bytes were stored before it was registered", page.database.advice)
        if row.kind != "version":
            page.add("row", what, f"its entry of the journal is a {row.kind}", page.database.advice)
        if not _is_digest(row.digest):
            page.add("row", what, f"{str(row.digest)[:80]!r} is not a digest", page.database.advice)
        before = row.position


def _is_digest(text: str | None) -> bool:
    try:
        return text is None or bool(Digest.parse(text))
    except errors.InvalidDigest:
        return False


@prepared
def _ops(limit: int, *, op_id: int) -> Executable:
    return (
        select(Op.id, Op.name, Op.last_sequence)
        .where(Op.id >= type_coerce(op_id, BigInteger))
        .order_by(Op.id)
        .limit(limit)
    )


@prepared
def _versions(*, op_id: int, after: int, limit: int) -> Executable:
    columns = (
        Version.sequence,
        Version.major_number,
        Version.minor_number,
        Version.patch_number,
        Version.position,
        Version.stored_position,
        Version.digest,
        Journal.kind,
        _differs(("major",), ("major_number",)).label("other_major"),
        _differs(("major", "minor"), ("major_number", "minor_number")).label("other_minor"),
    )
    found = select(*columns).outerjoin(Journal, Journal.position == Version.position)
    later = Version.sequence > type_coerce(after, BigInteger)  # a cursor may name a larger number than the column holds
    return found.where(Version.op_id == op_id, later).order_by(Version.sequence).limit(limit)


def _differs(hashes: tuple[str, ...], numbers: tuple[str, ...]) -> Any:
    """Return whether the numbers of the version and its hashes do not belong together.

    Each is compared with the first version in its index that shares it: one lookup each, however many share it.
    """
    number = _first(hashes, numbers[-1])
    hash_ = _first(numbers, hashes[-1])
    own_number, own_hash = getattr(Version, numbers[-1]), getattr(Version, hashes[-1])
    return (number != own_number) | (hash_ != own_hash)


def _first(same: tuple[str, ...], column: str) -> ScalarSelect[Any]:
    other = aliased(Version)
    found = select(getattr(other, column)).where(other.op_id == Version.op_id)
    found = found.where(*(getattr(other, name) == getattr(Version, name) for name in same))
    return found.limit(1).correlate(Version.__table__).scalar_subquery()

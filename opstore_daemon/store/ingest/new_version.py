"""What a push or a registration does to the database: the version, its labels and its links (CONTRACT section 3)."""

import msgspec
from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import NewVersion, Pushed
from opstore_daemon.protocol.versions import Version
from opstore_daemon.rules import derivation
from opstore_daemon.store.catalog import links, ops, references, tags, version_rows, versions
from opstore_daemon.store.catalog.links import LinkKey
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.catalog.versions import Added, Blob
from opstore_daemon.store.snapshot import Snapshot


def check(op: str, wanted: NewVersion, data: bytes | None) -> None:
    """Refuses what no state of the store could make right; `data` are bytes that came along."""
    OpName.parse(op)
    _check_ways(wanted, stores=wanted.upload is not None or wanted.digest is not None or data is not None)
    if wanted.upload is not None and data is not None:
        raise errors.InvalidRequest(reason="an upload and bytes that come along exclude each other")
    if wanted.checksum is not None and wanted.upload is None and data is None:
        raise errors.InvalidRequest(reason="a checksum is of bytes that are sent")
    for reference in (*wanted.valid_for, *wanted.valid_with):
        if reference.op == op:
            raise errors.InvalidRequest(reason=f"{op} can't be its own upstream")


def _check_ways(wanted: NewVersion, *, stores: bool) -> None:
    """Refuses more than one way to a version, and what does not go with it."""
    ways = [way for way in ("bump", "fields", "subversions") if getattr(wanted, way) is not None]
    declares = bool({"fields", "subversions"} & set(ways))
    if len(ways) > 1:
        raise errors.InvalidRequest(reason=f"{' and '.join(ways)} exclude each other")
    if not stores and not declares:
        raise errors.InvalidRequest(reason="a version without bytes needs its fields or its subversions")
    if wanted.otherwise == "patch" and not (stores and declares):
        raise errors.InvalidRequest(reason="otherwise is for a push with fields or subversions")


def add(connection: Connection, op_name: str, wanted: NewVersion, blob: Blob | None, now: int) -> Pushed:
    """Makes the version that was asked for, with its labels and links, all of it or none; `now` in microseconds."""
    snapshot, op = Snapshot(connection), ops.ensure(connection, op_name)
    version = _derive(connection, op.id, wanted, None if blob is None else blob.digest)
    if isinstance(version, VersionRow):
        added = Added(version, created=False)
    else:
        added = _add(connection, op, version, blob, wanted, now)
    row = added.row
    references.record_yanked(snapshot, row)
    if wanted.labels:
        versions.set_labels(connection, added, wanted.labels, now)
    for downstream in wanted.valid_for:
        links.record_link(connection, links.link_key(snapshot, row, downstream), "valid", None, now)
    for reference in wanted.valid_with:
        upstream = references.find_version(snapshot, reference)
        links.record_link(connection, LinkKey(upstream, op, row), "valid", None, now)
    if wanted.tags:
        tags.move(connection, wanted.tags, [row], now)
    record = versions.record(row, wanted.labels, wanted.tags) if added.fresh else versions.records(snapshot, [row])[0]
    picked = tuple(snapshot.picked_yanked)
    return Pushed(**msgspec.structs.asdict(record), created=added.created, picked_yanked=picked)


def _add(connection: Connection, op: OpRow, version: Version, blob: Blob | None, wanted: NewVersion, now: int) -> Added:
    """That version of the op; or, where it has other bytes and that is wanted, the patch version that these make."""
    before = version_rows.by_subversions(Snapshot(connection), op.id, version) if wanted.otherwise == "patch" else None
    if before is None or blob is None or before.digest in (None, blob.digest):
        return versions.add(connection, op, version, blob, wanted, now)
    patched = derivation.bump(version, "patch", blob.digest)
    added = versions.add(connection, op, patched, blob, wanted, now)
    if added.created:
        links.copy_valid_links(connection, before, added.row, now)
    return added


def _derive(connection: Connection, op_id: int, wanted: NewVersion, digest: Digest | None) -> Version | VersionRow:
    """The version that the push makes, or the latest one, if it has the bytes already and nothing new is wanted."""
    if wanted.subversions is not None:
        return wanted.subversions
    if wanted.fields is not None:
        return derivation.from_fields(wanted.fields, digest)
    assert digest is not None, "only a push has no fields and no version"  # noqa: S101
    snapshot = Snapshot(connection)
    newest = version_rows.newest(snapshot, op_id)
    # The newest is the latest too, where it is stored and not yanked.
    same = newest is None or (newest.digest is not None and not newest.yanked)
    latest = newest if same else version_rows.latest(snapshot, op_id)
    if latest is not None and latest.digest == digest and not wanted.new:
        return latest
    base = None if newest is None else Version.parse(newest.version)
    return derivation.bump(base, wanted.bump or "patch", digest)

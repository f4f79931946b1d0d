"""Make a new version with its labels, links and tags, as a push or registration requests it (docs/rules.md)."""

import msgspec
from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import EXACT, NewVersion, Pushed
from opstore_daemon.protocol.versions import Version
from opstore_daemon.rules import derivation
from opstore_daemon.rules.verdict import line
from opstore_daemon.store.catalog import annotations, link_queries, links, ops, references, tags, version_rows, versions
from opstore_daemon.store.catalog.links import LinkKey
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.catalog.versions import Added, Blob
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import Snapshot


def check(op: OpName, request: NewVersion, data: bytes | None) -> None:
    """Raise InvalidRequest if the request is wrong whatever the store contains.

    `data`: the bytes that came with the request.
    """
    _check_subversions(request, has_bytes=data is not None or request.upload is not None or request.digest is not None)
    if request.upload is not None and data is not None:
        raise errors.InvalidRequest(reason="an upload and bytes in the request are mutually exclusive")
    if request.checksum is not None and request.upload is None and data is None:
        raise errors.InvalidRequest(reason="a checksum needs an upload or bytes in the request")
    if any(reference.op == op for reference in (*request.valid_for, *request.valid_with)):
        raise errors.InvalidRequest(reason=f"{op} can't be its own upstream")


def _check_subversions(request: NewVersion, *, has_bytes: bool) -> None:
    sources = [source for source in ("bump", "fields", "subversions") if getattr(request, source) is not None]
    declares = bool({"fields", "subversions"} & set(sources))
    if len(sources) > 1:
        raise errors.InvalidRequest(reason=f"{' and '.join(sources)} are mutually exclusive")
    if not has_bytes and not declares:
        raise errors.InvalidRequest(reason="a version without bytes needs fields or subversions")
    if request.otherwise == "patch" and not (has_bytes and declares):
        raise errors.InvalidRequest(reason="otherwise is for a push with fields or subversions")


def make(connection: Connection, op_name: OpName, request: NewVersion, blob: Blob | None, stamp: Stamp) -> Pushed:
    """Make the version in the caller's transaction; `blob` are its bytes.

    Raises VersionConflict, SubversionsRemoved, NumbersExhausted, NoVersionYet and what a reference raises.
    """
    snapshot, op = Snapshot(connection), ops.ensure(connection, op_name, request.new_ops or EXACT, stamp)
    added = _add(snapshot, op, request, blob, stamp)
    row = added.row
    references.record_yanked(snapshot, row)
    if request.labels:
        annotations.set_labels(connection, added, request.labels, stamp)
    if request.new_ops is not None:
        for reference in request.valid_for:
            ops.ensure(connection, reference.op, request.new_ops, stamp)
    keys = [links.link_key(snapshot, row, reference) for reference in request.valid_for]
    keys += [LinkKey(references.find_version(snapshot, reference), op, row) for reference in request.valid_with]
    recorded = tuple(links.record_link(connection, key, "valid", None, stamp, reverses=False) for key in keys)
    if request.tags:
        tags.move(connection, request.tags, [row], stamp)
    labels, tag_names = request.labels, request.tags
    if added.fresh:
        record = versions.record(row, labels, tag_names, row.message, stamp.author)
    else:
        record = versions.records(snapshot, [row])[0]
    picked = tuple(snapshot.picked_yanked)
    return Pushed(
        **msgspec.structs.asdict(record),
        created=added.created,
        links=recorded,
        compatible_with=_compatible_with(snapshot, op, row) if added.created else None,
        picked_yanked=picked,
    )


def _compatible_with(snapshot: Snapshot, op: OpRow, row: VersionRow) -> str | None:
    """Return a compatible version with a valid link: what is linked to it counts for the new version, too."""
    if op.compat == EXACT:
        return None
    shared = line(row.number, op.compat)
    number = link_queries.linked_in_line(snapshot, op, shared, without=row)
    return None if number is None else str(number)


def _add(snapshot: Snapshot, op: OpRow, request: NewVersion, blob: Blob | None, stamp: Stamp) -> Added:
    """Add the version unless it exists; with `otherwise="patch"`, different bytes make a patch version.

    Derived subversions that are those of a removed version are derived again, from these. Declared ones raise
    SubversionsRemoved.
    """
    connection = snapshot.connection
    version = _derive(snapshot, op.id, request, None if blob is None else blob.digest)
    if isinstance(version, VersionRow):
        return Added(version, created=False)
    existing = version_rows.by_subversions(snapshot, op.id, version) if request.otherwise == "patch" else None
    patched = None if existing is None or blob is None or existing.digest in (None, blob.digest) else existing
    if patched is not None and blob is not None:
        version = derivation.bump(version, "patch", blob.digest)
    added = versions.add(connection, op, version, blob, request, stamp)
    while added is None:
        is_declared = request.subversions is not None or request.fields is not None
        if blob is None or (is_declared and request.otherwise == "refuse"):
            raise versions.subversions_removed(connection, op, version)
        version = derivation.bump(version, request.bump or "patch", blob.digest)
        added = versions.add(connection, op, version, blob, request, stamp)
    if patched is not None and added.created:
        links.copy_valid_links(connection, patched, added.row, stamp)
    return added


def _derive(snapshot: Snapshot, op_id: int, request: NewVersion, digest: Digest | None) -> Version | VersionRow:
    """Return the subversions of the new version, or the latest version if it has these bytes already."""
    if request.subversions is not None:
        return request.subversions
    if request.fields is not None:
        return derivation.from_fields(request.fields, digest)
    assert digest is not None, "`check` refuses a registration without fields and subversions"  # noqa: S101
    newest = version_rows.newest(snapshot, op_id)
    # A newest version that is stored and not yanked is the latest one: no further query.
    newest_is_latest = newest is None or (newest.digest is not None and not newest.yanked)
    latest = newest if newest_is_latest else version_rows.latest(snapshot, op_id)
    if latest is not None and latest.digest == digest and not request.new:
        return latest
    base = None if newest is None else Version.parse(newest.version)
    return derivation.bump(base, request.bump or "patch", digest)

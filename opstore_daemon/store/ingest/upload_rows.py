"""The statements about rows of uploads."""

from sqlalchemy import Connection, Executable, delete, func, insert, select, update

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Upload as UploadRow

INSERT = Statement(insert(UploadRow))


@prepared
def row(*, upload: str, owner: str) -> Executable:
    return select(UploadRow.size, UploadRow.touched_at).where(UploadRow.id == upload, UploadRow.owner == owner)


@prepared
def page(*, owner: str, after: str, limit: int) -> Executable:
    following = select(UploadRow.id, UploadRow.size, UploadRow.touched_at).where(UploadRow.id > after)
    return following.where(UploadRow.owner == owner).order_by(UploadRow.id).limit(limit)


@prepared
def touch(*, upload: str, now: int) -> Executable:
    return update(UploadRow).where(UploadRow.id == upload).values(touched_at=now)


@prepared
def untouched(limit: int, *, since: int) -> Executable:
    return select(UploadRow.id).where(UploadRow.touched_at < since).limit(limit)


@prepared
def touched_later(*, time: int) -> Executable:
    return select(UploadRow.id).where(UploadRow.touched_at > time).limit(1)


@prepared
def touch_later(*, time: int, now: int) -> Executable:
    return update(UploadRow).where(UploadRow.touched_at > time).values(touched_at=now)


@prepared
def ages(limit: int, *, after: str) -> Executable:
    following = select(UploadRow.id, UploadRow.touched_at).where(UploadRow.id > after)
    return following.order_by(UploadRow.id).limit(limit)


def all_ids() -> Executable:
    return select(UploadRow.id)


@prepared
def _count_of(*, owner: str) -> Executable:
    return select(func.count()).select_from(UploadRow).where(UploadRow.owner == owner)


def count(connection: Connection, owner: str) -> int:
    """Return how many uploads the owner has."""
    number: int = _count_of(owner=owner).run(connection).scalar_one()
    return number


@prepared
def delete_one(*, upload: str, owner: str | None = None) -> Executable:
    statement = delete(UploadRow).where(UploadRow.id == upload).returning(UploadRow.id)
    return statement if owner is None else statement.where(UploadRow.owner == owner)

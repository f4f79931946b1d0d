"""What comes into a store: uploads, and the versions that are made of them or of none."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import parse_digest
from opstore_daemon.protocol.records import Fields, Level, NewVersion, Otherwise, Pushed, Upload
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import pushing
from opstore_daemon.store.blobs import PIECE
from opstore_daemon.store.transactions import Transactions, utc
from opstore_daemon.store.uploads import Uploads

PUBLISH_TRIES = 3
LOCAL = "local"  # the owner of uploads that are made in process


class _BlobGone(Exception):
    """A collector took the blob between its publication and the transaction."""


class TakingIn(Transactions):
    """The verbs of a store by which bytes come in and versions are made: bytes first, then one short transaction."""

    def __init__(self, database: Database, saver: BaseSaver, clock: Callable[[], datetime] = utc) -> None:
        super().__init__(database, clock)
        self.saver = saver
        self.uploads = Uploads(database, saver, self._now)

    def create_upload(self, owner: str, size: int | None) -> Upload:
        """A new upload (store.uploads)."""
        planned = self.uploads.plan(size)
        told = self._write(Upload, lambda connection: self.uploads.enter(connection, planned, owner))
        # An earlier request with this key may have made another one, which may be finished by now.
        return self.uploads.begin(planned, owner) if told.upload == planned.upload else told

    def discard_upload(self, upload: str, owner: str) -> None:
        """Throws an upload away (store.uploads)."""
        self._write(type(None), lambda connection: self.uploads.forget(connection, upload, owner))
        self.uploads.throw_away(upload)

    def push(
        self,
        op: str,
        source: bytes | BinaryIO,
        *,
        bump: Level | None = None,
        fields: Fields | None = None,
        version: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Stores the bytes as a version of the op (protocol.verbs)."""
        upload = self.uploads.create(LOCAL, None).upload
        wanted = NewVersion(
            upload=upload,
            bump=bump,
            fields=fields,
            version=version,
            otherwise=otherwise,
            new=new,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(tags),
            format=format,
            libraries=dict(libraries or {}),
        )
        try:
            self._take_in(upload, source)
            return self.add_version(op, wanted, LOCAL)
        except BaseException:
            with suppress(errors.OpStoreError):  # it may be off the books already
                self.uploads.discard(upload, LOCAL)
            raise

    def _take_in(self, upload: str, source: bytes | BinaryIO) -> None:
        writer = self.uploads.writer(upload, LOCAL, 0, None)
        if isinstance(source, bytes):
            writer.append(source)
        else:
            while piece := source.read(PIECE):
                writer.append(piece)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        version: str | None = None,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        """Registers a version without bytes (protocol.verbs)."""
        wanted = NewVersion(
            fields=fields,
            version=version,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
        )
        return self.add_version(op, wanted, LOCAL)

    def add_version(self, op: str, wanted: NewVersion, owner: str) -> Pushed:
        """Makes the version that was asked for, of the owner's upload or of none.

        Bytes first, then one short transaction. What the transaction would refuse is found out before the bytes
        are kept, by a rehearsal; a collector that took the blob in between sends us back to keep it again.
        """
        pushing.check(op, wanted)
        upload = wanted.upload
        if upload is None:
            return self._write(Pushed, lambda connection: pushing.add(connection, op, wanted, None, self._now()))
        before = self._answered(Pushed)
        if before is not None:
            return before
        try:
            return self._finish(op, wanted, upload, owner)
        except (errors.NotFound, errors.Conflict, errors.IntegrityFailure):
            # The same request, sent twice, may have done it meanwhile: then its upload is gone.
            before = self._answered(Pushed)
            if before is None:
                raise
            return before

    def _finish(self, op: str, wanted: NewVersion, upload: str, owner: str) -> Pushed:
        declared = None if wanted.digest is None else parse_digest(wanted.digest)
        blob = self.uploads.check(upload, owner, declared, wanted.size)
        with self.database.rehearse() as connection:
            pushing.add(connection, op, wanted, blob, self._now())

        def work(connection: Connection) -> Pushed:
            if blob[0] not in self.saver:
                raise _BlobGone
            self.uploads.forget(connection, upload)
            return pushing.add(connection, op, wanted, blob, self._now())

        for _ in range(PUBLISH_TRIES):
            self.uploads.publish(upload, owner, blob[0])
            with suppress(_BlobGone):
                pushed = self._write(Pushed, work)
                self.uploads.throw_away(upload)
                return pushed
        raise errors.StorageFailed(reason=f"{blob[0]} was kept {PUBLISH_TRIES} times and is gone again")

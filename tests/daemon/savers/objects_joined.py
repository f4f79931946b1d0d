"""How S3Saver joins the conformance tests: on a real server, with its records in an SQLite database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.metadata import Database
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import BaseSaver, S3Saver
from opstore_daemon.savers.conformance import SaverConformance, SharedConformance
from opstore_daemon.savers.object_store.keys import object_name
from opstore_daemon.store.object_records import DatabaseObjectRecords
from tests.support.object_store import Bucket


class S3SaverJoins(SaverConformance, SharedConformance):
    bucket: Bucket
    client: Any
    database: Database

    @pytest.fixture(autouse=True)
    def storage(self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        for name, value in bucket.environ.items():
            monkeypatch.setenv(name, value)
        self.bucket, self.client, self.database = bucket, bucket.client(), Database(f"sqlite:///{tmp_path}/opstore.db")
        self.database.create_all()
        yield
        self.database.close()

    def make_saver(self) -> BaseSaver:
        return self.reopen(None)

    def reopen(self, saver: BaseSaver | None) -> BaseSaver:
        kind: Any = S3Saver if saver is None else type(saver)
        opened: S3Saver = kind(self.bucket.url)
        opened.attach(self.records())
        return opened

    def records(self) -> DatabaseObjectRecords:
        return DatabaseObjectRecords(self.database)

    def raw_read(self, saver: BaseSaver, digest: Digest) -> bytes | None:
        found = self.records().blob(digest)
        if found is None:
            return None
        key = self.bucket.prefix + object_name(found.key)
        data: bytes = self.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()
        return data

    def raw_write(self, saver: BaseSaver, digest: Digest, data: bytes) -> None:
        found = self.records().blob(digest)
        assert found is not None
        key = self.bucket.prefix + object_name(found.key)
        self.client.put_object(Bucket=self.bucket.name, Key=key, Body=data)

    def leftovers(self, saver: BaseSaver) -> int:
        """Count the objects that the database does not know as something, and its records of no upload."""
        listed = self.client.list_objects_v2(Bucket=self.bucket.name, Prefix=self.bucket.prefix).get("Contents", [])
        keys = [each["Key"].removeprefix(self.bucket.prefix) for each in listed]
        records = self.records()
        kept = {
            object_name(each.key) for state in ("blob", "trash", "quarantine") for each in records.find(state, "", 1000)
        }
        for upload in records.drafts():
            draft = records.draft(upload)
            assert draft is not None
            kept |= {object_name(key) for key in (draft.key, draft.tail_key) if key is not None}
        unfinished = self.client.list_multipart_uploads(Bucket=self.bucket.name, Prefix=self.bucket.prefix)
        abandoned = len(unfinished.get("Uploads", [])) - sum(
            draft.multipart is not None and not draft.sealed for draft in map(records.draft, records.drafts()) if draft
        )
        return len(set(keys) - kept) + len(records.leftovers(2**40, "", 1000)) + abandoned

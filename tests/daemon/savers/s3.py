"""What the tests of S3Saver share: savers on a real server whose records are in one SQLite database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from opstore_daemon.metadata import Database
from opstore_daemon.savers import S3Saver
from opstore_daemon.savers.object_store.buffers import Budget
from opstore_daemon.savers.object_store.keys import object_name
from opstore_daemon.savers.object_store.parts import MIB
from opstore_daemon.store.object_records import DatabaseObjectRecords
from tests.support.object_store import Bucket

PART = 5 * MIB
"""The size of parts in these tests, the smallest that the server takes."""


class Storage:
    """A place on the server and a database, for any number of savers."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket, self.client = bucket, bucket.client()
        self.database = Database(f"sqlite:///{folder}/opstore.db")
        self.database.create_all()
        self.records = DatabaseObjectRecords(self.database)

    def saver(self, url: str | None = None, **options: Any) -> S3Saver:
        """Return another saver, as another daemon would have it."""
        saver = S3Saver(url or self.bucket.url, **{"memory": Budget(), **options})
        saver.attach(self.records)
        return saver

    def write(self, key: str, data: bytes) -> None:
        """Replace an object behind the saver's back."""
        self.client.put_object(Bucket=self.bucket.name, Key=self.bucket.prefix + object_name(key), Body=data)

    def delete(self, key: str) -> None:
        """Delete an object behind the saver's back."""
        self.client.delete_object(Bucket=self.bucket.name, Key=self.bucket.prefix + object_name(key))

    def keys(self) -> set[str]:
        """Return the keys of all objects in the bucket, as the records have them."""
        return {name.rpartition("/")[2] for name in self.bucket.list_keys() if name.startswith("objects/")}

    def unfinished(self) -> list[str]:
        """Return the ids of the multipart uploads that nobody has completed."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket.name, Prefix=self.bucket.prefix)
        return [each["UploadId"] for each in found.get("Uploads", [])]


def before(saver: S3Saver, operation: str, call: Callable[[], object]) -> None:
    """Call the function once, before the saver sends the next request of that kind."""
    calls = [call]

    def handle(**_: Any) -> None:
        if calls:
            calls.pop()()

    for client in (saver.bucket.s3, saver.bucket.patient):
        client.meta.events.register(f"before-send.s3.{operation}", handle)

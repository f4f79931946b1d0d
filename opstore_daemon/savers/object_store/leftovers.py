"""What interrupted requests left in the bucket, found by the states in the database.

Objects that are `deleting`, or drafts of no upload, and multipart uploads that no draft has. That they are old is a
courtesy: whoever still uses one is refused by the records, and begins again.
"""

from collections.abc import Iterator

from opstore_daemon.savers.object_records import ObjectRecords
from opstore_daemon.savers.object_store.client import Bucket
from opstore_daemon.savers.object_store.keys import OBJECTS, key_of, object_name

PAGE = 500  # records that one query returns


class Leftovers:
    """Deletes them, one after another."""

    def __init__(self, bucket: Bucket, records: ObjectRecords) -> None:
        self._bucket, self._records = bucket, records

    def discard(self, before: float, *, dry_run: bool) -> Iterator[int]:
        """Delete what is a leftover since `before` (seconds since the epoch); yield the bytes of each, 0 if unknown."""
        after: str | None = ""
        while after is not None:
            page = self._records.leftovers(before, after, PAGE)
            for each in page:
                if dry_run or self._delete(each.key, is_draft=each.state == "draft"):
                    yield each.size or 0
            after = page[-1].key if len(page) == PAGE else None
        yield from self._abort(before, dry_run=dry_run)

    def _delete(self, key: str, *, is_draft: bool) -> bool:
        # First the record: from then on nobody can publish it.
        if is_draft and not self._records.move(key, "draft", "deleting"):
            return False
        self._bucket.delete(object_name(key))
        self._records.forget(key)
        return True

    def _abort(self, before: float, *, dry_run: bool) -> Iterator[int]:
        for each in self._bucket.unfinished(OBJECTS):
            key = key_of(each.name)
            if key is None or each.began_at > before:
                continue
            draft = self._records.draft_of(key)
            if draft is None or draft.multipart != each.multipart:
                if not dry_run:
                    self._bucket.abort(each.name, each.multipart)
                yield 0

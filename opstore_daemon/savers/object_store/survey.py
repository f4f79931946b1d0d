"""List the bucket for `fsck`: objects that are not recorded, not there, or of another size."""

from collections.abc import Iterator, Sequence
from itertools import islice

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.examination import Irregularity, Suspect
from opstore_daemon.savers.object_records import ObjectRecord, ObjectRecords
from opstore_daemon.savers.object_store.client import Bucket, Listed
from opstore_daemon.savers.object_store.keys import OBJECTS, key_of, object_name

PAGE = 500  # names that are looked up at once

_UNKNOWN = (
    "leave it there: if an older copy of the database is in use, it may be of a newer version; see Recovery in the "
    "documentation"
)
_FOREIGN = "look at it, and move it away if nothing of yours needs it there"
_GONE = "opstore gc forgets it, once its time in the trash is over"


class Survey:
    """Compares the objects in the bucket with the records. Both are in the order of their keys."""

    def __init__(self, bucket: Bucket, records: ObjectRecords) -> None:
        self._bucket, self._records = bucket, records

    def look(self, part: str) -> Iterator[Digest | Suspect | Irregularity]:
        """Yield the blobs whose keys begin with `part`, and what should not be there, or is missing."""
        listing = self._bucket.listing(f"{OBJECTS}{part}/")
        after, last = part, f"{part}g"
        while True:
            listed = list(islice(listing, PAGE))
            until = last if len(listed) < PAGE else key_of(listed[-1].name) or _key_before(listed[-1].name)
            yield from self._compare(listed, after, max(after, until))
            if len(listed) < PAGE:
                return
            after = max(after, until)

    def _compare(self, listed: Sequence[Listed], after: str, until: str) -> Iterator[Digest | Suspect | Irregularity]:
        sizes = {key: each.size for each in listed if (key := key_of(each.name)) is not None}
        # The records are read after the listing: what is created meanwhile was recorded before.
        yield from self._unrecorded(listed, self._records.recorded(list(sizes)))
        while page := self._records.between(after, until, PAGE):
            for record in page:
                yield from self._look_at(record, sizes.get(record.key))
            after = page[-1].key

    def _unrecorded(self, listed: Sequence[Listed], recorded: set[str]) -> Iterator[Irregularity]:
        for each in listed:
            key, what = key_of(each.name), f"{self._bucket.place}/{each.name}"
            if key is None:
                yield Irregularity("foreign", what, "an object that is not the store's", _FOREIGN)
            elif key not in recorded and self._bucket.head(each.name) is not None:  # else it was deleted meanwhile
                yield Irregularity(
                    "leftover", what, f"the database does not know this object of {each.size} bytes", _UNKNOWN
                )

    def _look_at(self, record: ObjectRecord, size: int | None) -> Iterator[Digest | Suspect | Irregularity]:
        """Compare a record with the listed size of its object, None if there is no object."""
        if record.state == "blob" and record.digest is not None:
            yield record.digest if size == record.size else Suspect(record.digest)
        elif record.state in ("trash", "quarantine") and size is None:
            name = object_name(record.key)
            if self._bucket.head(name) is None and self._is_in(record):
                what = f"{self._bucket.place}/{name}"
                yield Irregularity("leftover", what, f"it is gone, and recorded as in the {record.state}", _GONE)

    def _is_in(self, record: ObjectRecord) -> bool:
        """Return whether it still has its state: a collection may have deleted it."""
        assert record.digest is not None  # noqa: S101 - a rule of the table
        return any(each.key == record.key for each in self._records.of(record.digest, record.state))


def _key_before(name: str) -> str:
    """Return where a name that is no key comes in the order of the keys."""
    return name.rpartition("/")[2]

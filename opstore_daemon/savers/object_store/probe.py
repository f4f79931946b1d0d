"""Find out what a bucket really does: for `opstore doctor`, before a store relies on it.

Everything is tried with objects of its own, under PREFIX/probe/, which are deleted again. Nothing of a store is read.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.probe_lines import Probed
from opstore_daemon.savers.object_store.client import Bucket, Missing, Taken, UploadGone, sha256

PROBE = "probe/"
DATA, OTHER = b"a probe of opstore doctor", b"other bytes"
CLOCK = 60.0  # seconds that the clocks may differ; object stores refuse requests from 15 minutes on
_HINT = "see Bytes in an object store in the documentation"


class Probe:
    """The checks of one bucket, one after another."""

    def __init__(self, bucket: Bucket, now: Callable[[], float] = time.time) -> None:
        self._bucket, self._now = bucket, now
        self._name = f"{PROBE}{uuid.uuid4().hex}"
        self._date: str | None = None
        bucket.s3.meta.events.register("after-call.s3", self._note_date)

    def _note_date(self, http_response: Any = None, **_: Any) -> None:
        self._date = getattr(http_response, "headers", {}).get("Date") or self._date

    def __iter__(self) -> Iterator[Probed]:
        """Yield the results; end early if the bucket can't be written to."""
        try:
            for check, attempt in {
                "bucket": self._list,
                "bucket write": self._write,
                "bucket read": self._read,
                "bucket checksums": self._checksums,
                "bucket conditions": self._conditions,
                "bucket parts": self._parts,
                "bucket delete": self._delete,
                "bucket clock": self._clock,
            }.items():
                result = self._tried(check, attempt)
                yield result
                if result.advice is not None and check in ("bucket", "bucket write"):
                    return
        finally:
            with suppress(errors.OpStoreError, Missing):
                self._bucket.delete(self._name)

    def _tried(self, check: str, attempt: Callable[[], Probed]) -> Probed:
        try:
            return attempt()
        except errors.OpStoreError as error:
            return Probed(check, error.text, error.advice or _HINT)
        except (Missing, Taken, UploadGone) as error:
            return Probed(check, f"an object that was just written is not there, or another one ({error})", _HINT)

    def _list(self) -> Probed:
        for _ in self._bucket.listing("", 1):
            break
        for _ in self._bucket.unfinished(PROBE):
            break
        return Probed("bucket", f"{self._bucket.place} at {self._bucket.endpoint} can be listed")

    def _write(self) -> Probed:
        self._bucket.put(self._name, DATA)
        return Probed("bucket write", "objects can be written")

    def _read(self) -> Probed:
        body = self._bucket.get(self._name, 2, 7)
        with self._bucket.reading():
            found = body.stream.read()
        if found != DATA[2:7]:
            return Probed("bucket read", "a range of an object was read, and other bytes came", _unusable("ranges"))
        head = self._bucket.head(self._name)
        if head is None or head.size != len(DATA):
            return Probed("bucket read", "the size of an object is wrong", _unusable("sizes"))
        return Probed("bucket read", "objects can be read, also in part")

    def _checksums(self) -> Probed:
        try:
            self._bucket.put(f"{self._name}-damaged", DATA, checksum=sha256(OTHER))
        except errors.ObjectStoreFailed:
            return Probed("bucket checksums", "bytes that do not match their SHA-256 are refused")
        self._bucket.delete(f"{self._name}-damaged")
        advice = "use https:// to reach it, and run opstore fsck --read-data now and then: it does not notice damage"
        return Probed("bucket checksums", "bytes that do not match their SHA-256 are stored", advice)

    def _conditions(self) -> Probed:
        try:
            self._bucket.put(self._name, OTHER, only_new=True)
        except Taken:
            return Probed("bucket conditions", "an object that exists is not replaced if the request says so")
        except errors.ObjectStoreFailed as error:
            return Probed("bucket conditions", f"requests with conditions fail: {error.text}", _CONDITIONS)
        self._bucket.put(self._name, DATA)
        return Probed("bucket conditions", "requests with conditions ignore them", _CONDITIONS)

    def _parts(self) -> Probed:
        name = f"{self._name}-parts"
        multipart = self._bucket.create_multipart(name)
        try:
            damaged = self._accepts_damaged_part(name, multipart)
            part = self._bucket.upload_part(name, multipart, 1, DATA)
            if [each[0] for each in self._bucket.parts(name, multipart)] != [1]:
                return Probed("bucket parts", "a part that was sent is not listed", _unusable("uploads of parts"))
            self._bucket.complete(name, multipart, [part])
        finally:
            self._bucket.abort(name, multipart)
        head = self._bucket.head(name)
        self._bucket.delete(name)
        if head is None or head.size != len(DATA):
            return Probed("bucket parts", "an object of parts is not what was sent", _unusable("uploads of parts"))
        if damaged:
            advice = "use https:// to reach it: it does not notice damage on the way"
            return Probed("bucket parts", "parts that do not match their SHA-256 are stored", advice)
        return Probed("bucket parts", "large objects can be sent in parts, each verified by its SHA-256")

    def _accepts_damaged_part(self, name: str, multipart: str) -> bool:
        try:
            self._bucket.upload_part(name, multipart, 1, DATA, checksum=sha256(OTHER))
        except errors.ObjectStoreFailed:
            return False
        return True

    def _delete(self) -> Probed:
        self._bucket.delete(self._name)
        if self._bucket.head(self._name) is not None:
            return Probed("bucket delete", "an object is still there after its delete", _unusable("deletes"))
        return Probed("bucket delete", "objects can be deleted")

    def _clock(self) -> Probed:
        try:
            theirs = parsedate_to_datetime(self._date or "").timestamp()
        except (TypeError, ValueError):
            return Probed("bucket clock", "its answers have no time")
        ahead = theirs - self._now()
        if abs(ahead) <= CLOCK:
            return Probed("bucket clock", f"its clock and that of this machine agree within {CLOCK:.0f} seconds")
        at = datetime.fromtimestamp(theirs, UTC)
        found = f"its clock is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} that of this machine"
        advice = "set the clock that is wrong: from 15 minutes on, object stores refuse requests"
        return Probed("bucket clock", f"{found} ({at:%Y-%m-%d %H:%M:%S} UTC)", advice)


_CONDITIONS = "start the first daemon of a new store alone: two stores that begin there at once would not notice"


def _unusable(what: str) -> str:
    return f"use another object store: opstore needs {what} that work"

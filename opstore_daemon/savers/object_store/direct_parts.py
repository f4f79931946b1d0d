"""The parts of an upload that clients send to the object store themselves."""

from collections.abc import Sequence

from opstore_daemon.protocol.records import NewPart, SentPart
from opstore_daemon.savers.object_records import Part
from opstore_daemon.savers.object_store.assembly import Assembly
from opstore_daemon.savers.object_store.client import Bucket
from opstore_daemon.savers.object_store.keys import object_name


class DirectParts:
    """The parts behind those of an assembly, at the endpoint that clients reach."""

    def __init__(self, public: Bucket, assembly: Assembly) -> None:
        self._public, self._assembly = public, assembly

    def urls(self, parts: Sequence[NewPart], seconds: int) -> Sequence[str]:
        """Return the URLs of the next parts."""
        record = self._assembly.begin_multipart()
        assert record.multipart is not None  # noqa: S101
        name, first = object_name(record.key), len(record.parts) + 1
        return [
            self._public.part_url(name, record.multipart, number, part.size, part.digest.base64, seconds)
            for number, part in enumerate(parts, first)
        ]

    def add(self, parts: Sequence[SentPart]) -> int:
        """Record the parts up to the first that the object store does not have, and return how many; raise BytesLost.

        Their etags are recorded as it lists them: proxies change the form in which clients see them.
        """
        listed = {(sent.number, sent.size, _bare(sent.etag)): sent for sent in self._assembly.sent_parts()}
        found: list[Part] = []
        for number, part in enumerate(parts, len(self._assembly.parts) + 1):
            sent, checksum = listed.get((number, part.size, _bare(part.etag))), part.digest.base64
            if sent is None or sent.checksum not in (None, checksum):
                break
            found.append(Part(number, sent.size, sent.etag, checksum))
        if found:
            self._assembly.add_parts(found)
        return len(found)


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')

"""Count the requests that a saver sends to its object store."""

from collections import Counter
from typing import Any

from opstore_daemon.savers import S3Saver


class Requests(Counter[str]):
    """How often each kind of request was sent, by its name at AWS, repetitions included."""

    def __init__(self, saver: S3Saver) -> None:
        super().__init__()
        self.sent = 0  # bytes in their bodies
        for client in (saver.bucket.s3, saver.bucket.patient):
            client.meta.events.register("before-send.s3", self._count)

    def _count(self, event_name: str, request: Any, **_: Any) -> None:
        self[event_name.rpartition(".")[2]] += 1
        self.sent += int(request.headers.get("Content-Length") or 0)

    def taken(self) -> dict[str, int]:
        """Return the counts since the last call."""
        found = dict(self)
        self.clear()
        return found

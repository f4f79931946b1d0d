"""The digest of what is being pushed, by a thread that runs ahead of the line: then the store can be asked for it."""

import os
import threading

from opstore_cli.sources import Source
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.hashing import BLOCK

SPARE = 4  # cores: so many have one to spare for it, beside a daemon that hashes on the same machine
SLOW = 512 * 1024 * 1024  # bytes a second; a line that carries less leaves time for it: a third of what a core hashes
AFTER = 0.25  # seconds of sending, after which it is known what the line carries


def is_worth_it(cores: int, sent: int, seconds: float) -> bool:
    """Whether to hash beside a line that has carried so many bytes in that time."""
    return cores >= SPARE or (seconds > AFTER and sent < SLOW * seconds)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class HashingAhead:
    """Hashes all of a source that `is_random`, from the moment that this is made."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digest: Digest | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="opstore-hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        seen, position = new_hash(), 0
        buffer = memoryview(bytearray(BLOCK))
        while not self._closed and position < (self._source.size or 0):
            try:
                count = self._source.read_into(buffer, position)
            except errors.FileRefused:
                return  # whoever sends it meets that, too
            if not count:
                return
            seen.update(buffer[:count])
            position += count
        if not self._closed:
            self._digest = digest_of(seen)

    @property
    def digest(self) -> Digest | None:
        """The digest, if it is known by now."""
        return self._digest

    def close(self) -> None:
        """No more is read."""
        self._closed = True
        self._thread.join()

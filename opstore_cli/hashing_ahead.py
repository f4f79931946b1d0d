"""The digest of what is to be pushed, taken from its first byte on while all else is still on its way.

A thread reads the source by itself: while the command loads, while a line is slow. So the digest is often known long
before the bytes are sent, and then the store can be asked whether it has them already.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from opstore_cli.sources import Source
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.hashing import BLOCK
from opstore_daemon.protocol.routes import SMALL


class HashingAhead:
    """Hashes all of a source that `is_random`, from the moment that this is made."""

    @classmethod
    def of(cls, source: Source) -> Self:
        """What hashes the source, begun already or now."""
        return source.ahead if isinstance(source.ahead, cls) else cls(source)

    @classmethod
    @contextmanager
    def begun(cls, source: Source) -> Iterator[None]:
        """Hashes a source that is going to be pushed in this context, where it is worth a thread."""
        if not source.is_random or (source.size or 0) <= SMALL:
            yield
            return
        with cls(source) as source.ahead:
            yield

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digest: Digest | None = None
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="opstore-hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        seen, position = new_hash(), 0
        try:
            while not self._closed and position < (self._source.size or 0):
                data = self._source.read_at(position, BLOCK)
                if not data:
                    raise self._source.shorter()
                seen.update(data)
                position += len(data)
        except BaseException as failure:  # noqa: BLE001 - `wait` raises it
            self._failure = failure
        else:
            if not self._closed:
                self._digest = digest_of(seen)

    @property
    def digest(self) -> Digest | None:
        """The digest, if it is known by now."""
        return self._digest

    def check(self) -> None:
        """Raises FileRefused where that is known by now."""
        if self._failure is not None:
            raise self._failure

    def wait(self) -> Digest:
        """The digest; raises FileRefused."""
        self._thread.join()
        self.check()
        assert self._digest is not None, "it is closed by who waits"  # noqa: S101
        return self._digest

    def close(self) -> None:
        """No more is read."""
        self._closed = True
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

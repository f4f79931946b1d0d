"""What the tests of the suite share: the hooks of a saver, some bytes, and threads."""
# ruff: noqa: S101 - the asserts of a suite are what it is for

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing, suppress

from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers.base import BaseSaver, Draft

DATA = b"the bytes of an op, " * 500
DIGEST = digest_of(DATA)
UPLOAD, OTHER = "0123456789abcdef" * 2, "f" * 32


def put(saver: BaseSaver, data: bytes = DATA, upload: str = OTHER) -> Digest:
    """The data as a blob, with no draft left."""
    with closing(saver.draft(upload)) as draft:
        draft.append(data)
        draft.publish(digest_of(data))
    saver.discard(upload)
    return digest_of(data)


def get(saver: BaseSaver, digest: Digest = DIGEST) -> bytes:
    """The bytes of a blob."""
    with saver.open(digest) as file:
        return file.read()


def read_back(draft: Draft) -> bytes:
    """All bytes that the draft has kept."""
    data, buffer = bytearray(), memoryview(bytearray(READ_SIZE))
    while len(data) < draft.offset:
        room = buffer[: draft.offset - len(data)]
        count = draft.read_at(len(data), room)
        assert 0 < count <= len(room), "what it has kept is there, and no more than was asked for"
        data += room[:count]
    return bytes(data)


def receive(draft: Draft, data: bytes) -> list[int]:
    """Has the draft take the data from a connection; how many bytes it took at a time."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=_send, args=(theirs, data))
        sender.start()
        try:
            taken: list[int] = []
            while sum(taken) < len(data):
                taken.append(draft.receive(ours, len(data) - sum(taken)))
                if not taken[-1]:
                    break
            return taken
        finally:
            ours.close()  # whoever still sends is told so
            sender.join()


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(ConnectionError):  # whoever takes no more
        connection.sendall(data)


def all_at_once(jobs: list[Callable[[], object]]) -> list[BaseException]:
    """Runs each in a thread of its own, started together; what they raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        start.wait()
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            raised.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


class SaverHooks(ABC):
    """What a saver supplies to join the suite."""

    @abstractmethod
    def make_saver(self) -> BaseSaver:
        """A saver with nothing in it."""

    @abstractmethod
    def reopen(self, saver: BaseSaver) -> BaseSaver:
        """Another one at the same place, as after a restart of the process; the same one, if it doesn't outlive it."""

    @abstractmethod
    def raw_read(self, saver: BaseSaver, digest: Digest) -> bytes | None:
        """The bytes that lie there, read around the saver; None where there are none."""

    @abstractmethod
    def raw_write(self, saver: BaseSaver, digest: Digest, data: bytes) -> None:
        """Puts other bytes in the place of a blob, around the saver."""

    @abstractmethod
    def leftovers(self, saver: BaseSaver) -> int:
        """How many things lie there that are neither a blob nor a draft."""

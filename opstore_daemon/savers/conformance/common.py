"""What the conformance tests share: the hooks of a saver, some bytes, and threads."""
# ruff: noqa: S101 - these are tests

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing, suppress

from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import receiving
from opstore_daemon.savers.base import BaseSaver, Draft

DATA = b"the bytes of an op, " * 500
DIGEST = digest_of(DATA)
UPLOAD, OTHER = "0123456789abcdef" * 2, "f" * 32


def put(saver: BaseSaver, data: bytes = DATA, upload: str = OTHER) -> Digest:
    """Store the data as a blob and leave no draft."""
    with closing(saver.draft(upload)) as draft:
        draft.append(data)
        draft.publish(digest_of(data))
    saver.discard(upload)
    return digest_of(data)


def get(saver: BaseSaver, digest: Digest = DIGEST) -> bytes:
    """Return the bytes of a blob."""
    with saver.open(digest) as file:
        return file.read()


def read_back(draft: Draft) -> bytes:
    """Return all bytes that the draft has accepted; it may accept no more afterwards."""
    if draft.needs_seal:
        draft.seal()
    data, buffer = bytearray(), memoryview(bytearray(READ_SIZE))
    while len(data) < draft.offset:
        room = buffer[: draft.offset - len(data)]
        count = draft.read_at(len(data), room)
        assert 0 < count <= len(room), "it returns accepted bytes, and no more than asked for"
        data += room[:count]
    return bytes(data)


def receive(draft: Draft, data: bytes) -> list[int]:
    """Let the draft receive the data from a connection; return how many bytes it took each time."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=_send, args=(theirs, data))
        sender.start()
        try:
            taken: list[int] = []
            while sum(taken) < len(data):
                taken.append(receiving.receive(draft, ours.fileno(), len(data) - sum(taken)))
                if not taken[-1]:
                    break
            return taken
        finally:
            ours.close()  # unblocks the sender
            sender.join()


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(ConnectionError):  # the draft closed the connection
        connection.sendall(data)


def all_at_once(jobs: list[Callable[[], object]]) -> list[BaseException]:
    """Run each job in a thread, all started together; return what they raised."""
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
    """What a saver supplies to be tested."""

    identity_files = 0
    """How many of the leftovers are the locks, the store id and the position of the saver under test."""

    @abstractmethod
    def make_saver(self) -> BaseSaver:
        """Return an empty saver."""

    @abstractmethod
    def reopen(self, saver: BaseSaver) -> BaseSaver:
        """Return another saver at the same place, as after a restart; the same one if it can't outlive a process."""

    @abstractmethod
    def raw_read(self, saver: BaseSaver, digest: Digest) -> bytes | None:
        """Return the stored bytes without using the saver; None if there are none."""

    @abstractmethod
    def raw_write(self, saver: BaseSaver, digest: Digest, data: bytes) -> None:
        """Replace the bytes of a blob without using the saver."""

    @abstractmethod
    def leftovers(self, saver: BaseSaver) -> int:
        """Return how many things are neither a blob nor a draft, and not in the trash or in quarantine."""

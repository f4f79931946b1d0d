"""One turn of the loop does a bounded amount of work for each connection, and readers hold bounded memory in total."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.acceptor import MAX_SHARE, MIN_SHARE, TURN, Acceptor
from opstore_daemon.http_server.channel import Channel
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.http_server.parser import READ
from opstore_daemon.http_server.shares import ACCEPTS
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import blob_reader
from opstore_daemon.store.blob_reader import MIN_PIECE, READ_AHEAD, BlobReader
from tests.daemon.http.test_bytes import BYTES
from tests.daemon.http.test_uploads import begin
from tests.support.daemon_process import daemon_process
from tests.support.http_client import Http
from tests.support.raw_http import Raw, head
from tests.support.waiting import wait_for

MIB = 1 << 20


class Turns:
    """Records how many bytes the loop sends and receives for a connection in each of its turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved: list[dict[Channel, int]] = [{}]
        self.by_threads = 0
        tend, send, recv = Acceptor.tend, Channel.send, Channel.recv
        self._loop: threading.Thread | None = None

        def tending(acceptor: Acceptor) -> None:
            self._loop = threading.current_thread()
            self.moved.append({})
            tend(acceptor)

        def sending(channel: Channel, *arguments: Any, **options: Any) -> int:
            return self._add(channel, send(channel, *arguments, **options))

        def receiving(channel: Channel, size: int) -> Any:
            received = recv(channel, size)
            self._add(channel, len(received))
            return received

        monkeypatch.setattr(Acceptor, "tend", tending)
        monkeypatch.setattr(Channel, "send", sending)
        monkeypatch.setattr(Channel, "recv", receiving)

    def _add(self, channel: Channel, count: int) -> int:
        if threading.current_thread() is self._loop:
            self.moved[-1][channel] = self.moved[-1].get(channel, 0) + count
        else:
            self.by_threads += count
        return count

    def most(self) -> int:
        """Return the most bytes of one connection in one turn."""
        return max((count for turn in self.moved for count in turn.values()), default=0)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


def test_a_fast_append_is_received_a_share_a_turn(http: Http, listener: Listener, turns: Turns) -> None:
    upload = http.upload()
    with Raw(listener.port) as eager:
        begin(eager, upload, 0, 16 * MIB)
        eager.send(bytes(16 * MIB))
        assert eager.answer().status == 200
    assert 0 < turns.most() <= MAX_SHARE


@pytest.mark.slow
def test_what_may_be_no_part_of_a_request_is_received_in_small_pieces(listener: Listener, turns: Turns) -> None:
    with Raw(listener.port) as eager:
        eager.send(400 * head("GET", routes.OPS, f"X-A: {'a' * 1000}", host=eager.host))
        assert [eager.answer().status for _ in range(400)] == [200] * 400
    received = [count for turn in turns.moved for count in turn.values()]
    assert max(received) <= READ


def test_a_fast_reader_gets_a_share_a_turn_once_others_wait_for_a_thread(
    http: Http, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.push("up", bytes(24 * MIB))
    monkeypatch.setattr(Acceptor, "threads_are_wanted", lambda _self: True)
    assert http.pull("up").content == bytes(24 * MIB)
    assert turns.by_threads <= 2 * MAX_SHARE, "the thread gave it to the loop"
    assert MIB <= turns.most() <= MAX_SHARE + MIN_SHARE


@pytest.mark.slow
def test_the_share_of_a_connection_shrinks_with_their_number(http: Http, listener: Listener) -> None:
    acceptor = listener._waitress
    uploads = [http.upload() for _ in range(16)]
    assert acceptor.share == MAX_SHARE
    with ExitStack() as stack:
        for upload in uploads:
            begin(stack.enter_context(Raw(listener.port)), upload, 0, 10)
        wait_for(lambda: acceptor.share <= TURN // 16, "the arrival of all")
        assert acceptor.share >= MIN_SHARE


@pytest.mark.slow
def test_connections_are_accepted_several_a_turn(server: OpStoreServer, turns: Turns) -> None:
    listener = Listener(server)
    with ExitStack() as stack:
        connections = [stack.enter_context(Raw(listener.port)) for _ in range(3 * ACCEPTS)]
        for each in connections:
            each.send(b"G")
        with listener:
            wait_for(lambda: len(listener._channels()) == len(connections), "all of them")
            assert sum(1 for turn in turns.moved if turn) <= 10
        stack.close()


def test_readers_hold_bounded_memory_in_total(memory_server: OpStoreServer) -> None:
    data = bytes(4 * READ_SIZE)
    digest = digest_of(data)
    saver = MemorySaver()
    draft = saver.draft("a" * 32)
    draft.append(data)
    draft.publish(digest)
    draft.close()
    before = blob_reader.read_ahead.held
    readers = []
    for _ in range(200):
        readers.append(BlobReader(saver, digest, len(data)))
        readers[-1].read_piece()
        assert blob_reader.read_ahead.held - before <= READ_AHEAD + 2 * MIN_PIECE * len(readers)
    assert b"".join(readers[-1]) != data, "a piece was read before"
    for reader in readers:
        reader.close()
        reader.close()
    assert blob_reader.read_ahead.held == before
    with_one = BlobReader(saver, digest, len(data))
    assert [len(piece) for piece in with_one] == [READ_SIZE] * 4
    with_one.close()


@pytest.mark.slow
def test_a_reader_that_ends_or_fails_gives_its_memory_back(http: Http, listener: Listener) -> None:
    before = blob_reader.read_ahead.held
    http.push("up", bytes(40 * MIB))
    with Raw(listener.port) as silent:
        silent.send(head("GET", BYTES, host=silent.host))
        wait_for(lambda: blob_reader.read_ahead.held > before, "the response")
    assert len(http.pull("up").content) == 40 * MIB
    wait_for(lambda: blob_reader.read_ahead.held == before, "the end of both")


@pytest.mark.slow
def test_pulls_that_nobody_reads_take_little_memory(tmp_path: Path) -> None:
    with daemon_process(tmp_path) as daemon:
        daemon.http.push("up", bytes(16 * MIB))
        assert daemon.http.pull("up").status_code == 200
        before = daemon.peak()
        with ExitStack() as stack:
            for _ in range(30):
                silent = stack.enter_context(Raw(daemon.port))
                silent.send(head("GET", BYTES, host=silent.host, token=daemon.http.token))
                assert silent.socket.recv(1)
            assert daemon.http.get(routes.OPS).status_code == 200
        assert daemon.peak() - before < 64 * MIB

"""A whole blob is verified as it is sent; a range is sent by sendfile."""

import errno
import os
import socket
from pathlib import Path

import pytest

from opstore_daemon.http_server.channel import Channel
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.web.framework.blob_body import MAX_BUFFERED
from tests.daemon.http.test_bytes import BYTES, large
from tests.support.faults import fails
from tests.support.http_client import Http
from tests.support.open_files import open_below
from tests.support.raw_http import Raw, head
from tests.support.waiting import wait_for

MIB = 1 << 20

pytestmark = pytest.mark.local  # how files are sent


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the bytes that each call of sendfile(2) sent."""
    counts: list[int] = []
    plain = os.sendfile

    def recorded(out: int, source: int, offset: int, count: int) -> int:
        counts.append(plain(out, source, offset, count))
        return counts[-1]

    monkeypatch.setattr(os, "sendfile", recorded)
    return counts


def test_a_range_is_sent_by_sendfile_and_a_whole_blob_is_verified(http: Http, sent: list[int]) -> None:
    data = large()
    http.push("up", data)
    assert http.pull("up").content == data
    assert sent == []
    for asked, start, stop in (("bytes=0-", 0, len(data)), ("bytes=7-", 7, len(data)), ("bytes=3-1048580", 3, MIB + 5)):
        sent.clear()
        response = http.pull("up", headers={"Range": asked})
        assert (response.status_code, response.content) == (206, data[start:stop])
        wanted = stop - start
        wait_for(lambda: sum(sent) == wanted, "the note of the last piece")  # noqa: B023 - the client may have it before us


def test_a_small_response_is_sent_in_one_call(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    plain = Channel.send

    def recorded(channel: Channel, data: bytes, do_close: bool = True) -> int:
        pieces.append(len(data))
        return plain(channel, data, do_close)

    http.push("up", b"bytes")
    http.push("up", b"x" * MAX_BUFFERED)
    upload = http.upload(b"others")
    monkeypatch.setattr(Channel, "send", recorded)
    responses = [
        http.pull("up", "1.0.0"),
        http.pull("up"),
        http.pull("up", headers={"Range": "bytes=2-"}),
        http.get("/v1/ops/up"),
        http.get("/v1/ops/none"),
        http.delete(f"/v1/uploads/{upload}"),
    ]
    assert [response.status_code for response in responses] == [200, 200, 206, 200, 404, 204]
    assert len(pieces) == len(responses)
    assert responses[1].content == b"x" * MAX_BUFFERED


def test_a_system_without_sendfile_sends_the_same(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sendfile")
    data = large()
    http.push("up", data)
    response = http.pull("up", headers={"Range": "bytes=5-"})
    assert (response.status_code, response.content) == (206, data[5:])


REFUSALS = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO, errno.EOVERFLOW, errno.EPERM)


def test_a_file_system_that_refuses_sendfile_sends_the_same(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    data = large()
    http.push("up", data)
    plain = os.sendfile
    for error, after in ((error, after) for error in REFUSALS for after in (0, 1)):
        calls: list[int] = []
        refuse = fails(error, after=after)

        def refusing(out: int, source: int, offset: int, count: int) -> int:
            calls.append(offset)  # noqa: B023
            refuse()  # noqa: B023
            return plain(out, source, offset, min(count, 100_000))

        monkeypatch.setattr(os, "sendfile", refusing)
        response = http.pull("up", headers={"Range": "bytes=5-"})
        assert (response.status_code, response.content) == (206, data[5:])
        assert len(calls) == after + 1, "the rest of the response is read"


def test_a_disk_that_fails_during_a_range_ends_the_response_and_nothing_else(
    http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.push("up", large())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sendfile", fails(errno.EIO))
        patch.setattr(BlobReader, "_read", fails(errno.EIO))
        with Raw(listener.port) as connection:
            connection.send(head("GET", BYTES, "Range: bytes=1-", host=connection.host))
            assert connection.answer().cut
    assert http.pull("up").content == large()


def test_a_connection_serves_more_requests_after_a_range(http: Http, listener: Listener) -> None:
    data = large()
    http.push("up", data)
    with Raw(listener.port) as connection:
        for start in (0, 5, len(data) - 1):
            response = connection.ask("GET", BYTES, f"Range: bytes={start}-")
            assert (response.status, response.body) == (206, data[start:])


def test_a_client_that_disconnects_during_a_range_leaves_nothing_behind(
    http: Http, listener: Listener, tmp_path: Path
) -> None:
    http.push("up", b"x" * (40 * MIB))  # more than fits into the buffers of the system
    for _ in range(3):
        with Raw(listener.port) as connection:
            connection.send(head("GET", BYTES, "Range: bytes=1-", host=connection.host))
            assert connection.socket.recv(1, socket.MSG_PEEK)
    wait_for(lambda: len(listener._channels()) <= 1, "the end of the connections")
    wait_for(lambda: open_below(tmp_path / "blobs" / "blobs") == [], "the end of all files")
    assert http.pull("up", headers={"Range": "bytes=0-1"}).content == b"xx"

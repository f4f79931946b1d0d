"""The bytes of a version: complete, in ranges, conditional, and never damaged ones."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import SETTINGS, Listener
from opstore_daemon.protocol import limits, routes
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import BaseSaver
from tests.support.daemon_process import daemon_process
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.places import Place
from tests.support.raw_http import Raw, ask, head
from tests.support.refusals import Watch
from tests.support.stored_blob import stored_blob
from tests.support.waiting import wait_for

MIB = 1 << 20
DATA = bytes(range(256)) * 4
SIZE = len(DATA)
BYTES = "/v1/ops/up/versions/latest/bytes"


def blob(folder: Path, data: bytes) -> Path:
    digits = digest_of(data).removeprefix("sha256:")
    path = folder / "blobs" / "blobs" / digits[:2] / digits
    path.chmod(0o600)
    return path


def large() -> bytes:
    return b"".join(bytes([number]) * MIB for number in range(5)) + b"the end"


def test_the_bytes_come_with_their_digest_and_their_length(http: Http) -> None:
    http.push("up", DATA)
    for selector in ("latest", "1.0.0", "1", digest_of(DATA), digest_of(DATA)[:15], ">=1"):
        response = http.pull("up", selector)
        assert (response.status_code, response.content) == (200, DATA)
        assert response.headers["ETag"] == f'"{digest_of(DATA)}"'
        assert response.headers["Content-Length"] == str(SIZE)
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Content-Type"] == routes.BYTES_TYPE
        assert (response.headers[routes.SERVED_OP], response.headers[routes.SERVED_VERSION]) == ("up", "1.0.0")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_response_has_the_record_in_a_header_if_it_fits(http: Http, method: str) -> None:
    http.push("up", b"bytes", message="é and\na line", labels={"a": "ü\r\nX-Evil: 1"})
    http.ask("PUT", "/v1/ops/up/versions/1.0.0/yank", json={"reason": "bad"})
    known = http.get("/v1/ops/up/versions/1.0.0").json()
    for asked in ({}, {"Range": "bytes=1-"}, {"If-None-Match": f'"{digest_of(b"bytes")}"'}):
        told = http.ask(method, "/v1/ops/up/versions/1.0.0/bytes", headers=asked).headers
        assert json.loads(told[routes.SERVED_RECORD]) == known
        assert "X-Evil" not in told
    http.push("up", b"more", message="m" * limits.MAX_RECORD_HEADER)
    assert routes.SERVED_RECORD not in http.ask(method, BYTES).headers


def test_bytes_of_every_size_are_returned_unchanged(http: Http) -> None:
    for size in (0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 17):
        data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        http.push("up", data)
        response = http.pull("up")
        assert (response.status_code, response.headers["Content-Length"]) == (200, str(size))
        assert response.content == data


def test_an_empty_blob_has_no_bytes_and_no_ranges(http: Http, watch: Watch) -> None:
    http.push("up", b"")
    watch.mark()
    for response in (http.pull("up"), http.ask("HEAD", BYTES), http.pull("up", headers={"Range": "bytes=0-"})):
        assert (response.status_code, response.content, response.headers["Content-Length"]) == (200, b"", "0")
    for asked in ("bytes=0-0", "bytes=5-"):
        watch.assert_problem(http.pull("up", headers={"Range": asked}), 416, "RangeNotSatisfiable")


def test_head_returns_everything_but_the_bytes(http: Http, listener: Listener) -> None:
    http.push("up", DATA)
    got, told = http.get(BYTES), http.ask("HEAD", BYTES)
    own = {"Date", routes.REQUEST_ID}
    assert {k: v for k, v in told.headers.items() if k not in own} == {
        k: v for k, v in got.headers.items() if k not in own
    }
    with Raw(listener.port) as connection:  # and no byte of them comes
        connection.send(head("HEAD", BYTES, host=connection.host) + head("GET", "/healthz", host=connection.host))
        assert connection.answer("HEAD").headers["content-length"] == str(SIZE)
        assert connection.answer().body == b"ok\n"


def test_only_get_has_ranges(http: Http) -> None:
    http.push("up", DATA)
    for asked in ("bytes=0-9", f"bytes={SIZE}-"):
        told = http.ask("HEAD", BYTES, headers={"Range": asked})
        assert (told.status_code, told.headers["Content-Length"]) == (200, str(SIZE))
        assert "Content-Range" not in told.headers


RANGES = {
    "bytes=0-0": (0, 1),
    f"bytes={SIZE - 1}-{SIZE - 1}": (SIZE - 1, SIZE),
    "bytes=100-199": (100, 200),
    "bytes=100-": (100, SIZE),
    "bytes=-1": (SIZE - 1, SIZE),
    "bytes=-100": (SIZE - 100, SIZE),
    f"bytes=-{SIZE}": (0, SIZE),
    "bytes=-999999": (0, SIZE),
    "bytes=0-": (0, SIZE),
    "bytes=0-999999": (0, SIZE),
    "bytes=1000-999999": (1000, SIZE),
    "Bytes=5-9": (5, 10),
    "bytes= 5-9": (5, 10),
}


def test_a_range_returns_its_bytes(http: Http) -> None:
    http.push("up", DATA)
    for asked, (start, stop) in RANGES.items():
        response = http.pull("up", headers={"Range": asked})
        assert (response.status_code, response.content) == (206, DATA[start:stop]), asked
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
        assert response.headers["Content-Length"] == str(stop - start)
        assert response.headers["ETag"] == f'"{digest_of(DATA)}"'


def test_a_range_beyond_the_end_is_refused_with_the_size(http: Http, watch: Watch) -> None:
    http.push("up", DATA)
    watch.mark()
    for asked in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE}", "bytes=99999-999999", "bytes=" + "9" * 40 + "-"):
        response = http.pull("up", headers={"Range": asked})
        assert watch.assert_problem(response, 416, "RangeNotSatisfiable") == {"range": asked, "size": SIZE}
        assert response.headers["Content-Range"] == f"bytes */{SIZE}"


def test_several_ranges_and_malformed_ones_return_all_bytes(http: Http) -> None:
    http.push("up", DATA)
    asked = ["bytes=0-1,5-6", "bytes=0-1, -1", "bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "lines=0-1", "0-1", ""]
    asked += ["bytes=-0", "bytes=--1", "bytes=1-2-3", "bytes=１-２", "bytes=0x1-0x2", "bytes=1_0-2_0", "bytes 0-1"]
    for given in asked:
        response = http.pull("up", headers={"Range": given.encode()})
        assert (response.status_code, response.content) == (200, DATA), given


def test_if_range_returns_a_part_only_of_the_same_bytes(http: Http) -> None:
    http.push("up", DATA)
    etag = f'"{digest_of(DATA)}"'
    assert http.pull("up", headers={"Range": "bytes=5-", "If-Range": etag}).status_code == 206
    others = [
        f'"{digest_of(b"")}"',
        f"W/{etag}",
        digest_of(DATA),
        "*",
        "",
        "Wed, 21 Oct 2099 07:28:00 GMT",
        f"{etag}, {etag}",
    ]
    for other in others:
        response = http.pull("up", headers={"Range": "bytes=5-", "If-Range": other})
        assert (response.status_code, response.content) == (200, DATA), other


def test_a_client_that_has_the_bytes_gets_304(http: Http) -> None:
    http.push("up", DATA)
    etag = f'"{digest_of(DATA)}"'
    for given in (etag, f'"x", {etag}', "*", f"W/{etag}"):
        for extra in ({}, {"Range": "bytes=0-1"}):
            response = http.pull("up", headers={"If-None-Match": given, **extra})
            assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
    for given in ('"x"', f'"{digest_of(b"")}"', ""):
        assert http.pull("up", headers={"If-None-Match": given}).status_code == 200


def test_a_registered_version_has_no_bytes(http: Http, watch: Watch) -> None:
    http.register("up", a="1")
    watch.mark()
    for selector in ("latest", "1.0.0"):
        details = watch.assert_problem(http.pull("up", selector), 404, "NotStored")
        assert details == {"op": "up", "version": "1.0.0"}


@pytest.mark.parametrize("size", few(1, [1, 1000, MIB]))
def test_a_small_damaged_blob_is_not_sent_at_all(
    place: Place, server: OpStoreServer, http: Http, watch: Watch, size: int
) -> None:
    data = b"x" * size
    others = [data[:-1], data + b"x", b""] if place.is_local else []  # that of an object is noticed while it is read
    http.push("up", data)
    blob = stored_blob(server, digest_of(data))
    for damaged in (b"y" + data[1:], data[:-1] + b"y", *others, None):
        if damaged is None:
            blob.delete()
        else:
            blob.write(damaged)
        watch.mark()
        for method in ("GET", "HEAD"):
            response = http.ask(method, BYTES)
            assert response.status_code == 500
        assert watch.assert_problem(http.pull("up"), 500, "BlobDamaged")["digest"] == digest_of(data)
    http.push("up", data, new=True)
    assert http.pull("up").content == data


def test_a_large_damaged_blob_is_never_sent_completely(server: OpStoreServer, http: Http, listener: Listener) -> None:
    data = large()
    http.push("up", data)
    blob = stored_blob(server, digest_of(data))
    for at in (0, MIB - 1, MIB, 3 * MIB, len(data) - 1):
        blob.write(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        response = ask(listener.port, "GET", BYTES)
        assert (response.status, response.headers["content-length"]) == (200, str(len(data)))
        assert response.cut
    blob.write(data)
    assert http.pull("up").content == data


@pytest.mark.local  # the size of an object is noticed while it is read
def test_a_large_blob_of_another_size_or_gone_is_not_sent_at_all(
    server: OpStoreServer, http: Http, watch: Watch
) -> None:
    data = large()
    http.push("up", data)
    blob = stored_blob(server, digest_of(data))
    for damaged in (data[:-1], data[: 2 * MIB], data + b"x"):
        blob.write(damaged)
        watch.mark()
        watch.assert_problem(http.pull("up"), 500, "BlobDamaged")
        watch.assert_problem(http.pull("up", headers={"Range": "bytes=0-9"}), 500, "BlobDamaged")
    blob.delete()
    watch.mark()
    watch.assert_problem(http.pull("up"), 500, "BlobDamaged")


@pytest.mark.local
def test_a_blob_that_shrinks_while_it_is_sent_is_cut_short(http: Http, listener: Listener, tmp_path: Path) -> None:
    data = b"x" * (40 * MIB)  # more than fits into the buffers of the system
    http.push("up", data)
    path = blob(tmp_path, data)
    for asked in ([], ["Range: bytes=1-"]):
        path.write_bytes(data)
        with Raw(listener.port) as connection:
            connection.send(head("GET", BYTES, *asked, host=connection.host))
            assert connection.socket.recv(1, socket.MSG_PEEK)
            path.write_bytes(data[: 30 * MIB])
            assert connection.answer().cut


@pytest.mark.slow
def test_slow_clients_hold_no_thread(http: Http, listener: Listener) -> None:
    data = b"x" * (16 * MIB)
    http.push("up", data)
    readers = [Raw(listener.port) for _ in range(SETTINGS["threads"] + 4)]
    try:
        for reader in readers:
            reader.send(head("GET", BYTES, host=reader.host))
            assert reader.socket.recv(1, socket.MSG_PEEK)
        for _ in range(20):
            assert http.get(routes.OPS).status_code == 200
        assert http.push("other", b"bytes")["version"] == "1.0.0"
        slow = readers[0].answer()
        assert (slow.body == data, slow.cut) == (True, False)
    finally:
        for reader in readers:
            reader.close()
    wait_for(lambda: len(listener._channels()) <= 1, "the end of the connections")


def test_a_client_that_disconnects_leaves_no_open_file(
    server: OpStoreServer, http: Http, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.push("up", b"x" * (16 * MIB))
    opened = []
    kind = type(server.store.saver)
    whole = kind.open

    def recorded(saver: BaseSaver, digest: Digest) -> object:
        opened.append(whole(saver, digest))
        return opened[-1]

    monkeypatch.setattr(kind, "open", recorded)
    with Raw(listener.port) as connection:
        connection.send(head("GET", BYTES, host=connection.host))
        assert connection.socket.recv(1, socket.MSG_PEEK)
    http.ask("HEAD", BYTES)
    http.pull("up", headers={"Range": "bytes=0-1"})
    wait_for(lambda: len(opened) == 3 and all(file.closed for file in opened), "the end of all files")


def test_memory_does_not_grow_with_the_size_of_an_op(tmp_path: Path) -> None:
    size, piece = 128 * MIB, b"x" * MIB

    def pieces() -> Iterator[bytes]:
        for _ in range(size // MIB):
            yield piece

    with daemon_process(tmp_path) as daemon:
        daemon.http.push("up", piece)
        before = daemon.peak()
        upload = daemon.http.upload(size=size)
        assert daemon.http.append(upload, pieces()).json()["offset"] == size
        assert daemon.http.post("/v1/ops/up/versions", {"upload": upload}).status_code == 201
        with daemon.http.pull("up", stream=True) as response:
            assert sum(len(part) for part in response.iter_content(MIB)) == size
        assert daemon.peak() - before < 48 * MIB

"""Uploads across restarts and weeks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol.digests import digest_of
from tests.daemon.http.test_uploads import DATA, begin, offset_of, pushed, staged
from tests.support.http_client import Http
from tests.support.places import Place
from tests.support.raw_http import Raw
from tests.support.waiting import wait_for


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: int) -> None:
        self.now += timedelta(**by)


@contextmanager
def daemon(place: Place, folder: Path, clock: Clock | None = None) -> Iterator[tuple[Http, Listener, OpStoreServer]]:
    """Run a daemon on the folder for the duration of the context."""
    server = place.open(folder, clock=clock)
    try:
        with Listener(server) as listener, Http(listener.url) as http:
            yield http, listener, server
    finally:
        server.close()


@pytest.mark.local  # with an object store, any daemon accepts what follows
def test_an_upload_resumes_after_a_restart(place: Place, tmp_path: Path) -> None:
    with daemon(place, tmp_path) as (http, listener, server):
        whole, broken = http.upload(DATA[:7], size=10), http.upload()
        with Raw(listener.port) as connection:
            begin(connection, broken, 0, 10)
            connection.send(DATA[:4])
            wait_for(lambda: staged(server, broken) == 4, "the arrival")
    with daemon(place, tmp_path) as (http, *_):
        # Nobody asked for the offset yet, so it is not sure that the bytes are still those that were sent.
        assert http.append(whole, DATA[7:], 7).json()["code"] == "UploadNotOpen"
        assert offset_of(http, whole) == 7
        assert http.append(whole, DATA[7:], 7).status_code == 200
        assert pushed(http, whole) == digest_of(DATA)
        assert offset_of(http, broken) == 4
        assert http.append(broken, b"others", 4).status_code == 200
        assert pushed(http, broken) == digest_of(DATA[:4] + b"others")


def test_a_version_is_made_after_a_restart_of_an_upload_that_was_complete(place: Place, tmp_path: Path) -> None:
    with daemon(place, tmp_path) as (http, *_):
        upload = http.upload(DATA, size=10)
    with daemon(place, tmp_path) as (http, *_):
        assert pushed(http, upload) == digest_of(DATA)


@pytest.mark.local
def test_bytes_that_a_crash_cut_off_are_sent_again(place: Place, tmp_path: Path) -> None:
    with daemon(place, tmp_path) as (http, *_):
        upload = http.upload(DATA, size=10)
    os.truncate(tmp_path / "blobs" / "staging" / upload, 3)
    with daemon(place, tmp_path) as (http, *_):
        assert offset_of(http, upload) == 3
        assert http.append(upload, DATA[3:], 3).status_code == 200
        assert pushed(http, upload) == digest_of(DATA)


@pytest.mark.local
def test_bytes_that_a_crash_changed_are_detected(place: Place, tmp_path: Path) -> None:
    with daemon(place, tmp_path) as (http, *_):
        upload = http.upload(DATA, size=10)
    (tmp_path / "blobs" / "staging" / upload).write_bytes(b"0123456xxx")
    with daemon(place, tmp_path) as (http, *_):
        response = http.post("/v1/ops/up/versions", {"upload": upload, "digest": digest_of(DATA)})
        assert (response.status_code, response.json()["code"]) == (422, "DigestMismatch")
        assert http.get("/v1/ops").json()["ops"] == []


def test_an_upload_expires_after_a_week_without_requests(place: Place, tmp_path: Path) -> None:
    clock = Clock()
    with daemon(place, tmp_path, clock) as (http, _, server):
        forgotten, asked_for = http.upload(DATA), http.upload(DATA)
        clock.forward(days=6)
        assert offset_of(http, asked_for) == 10
        clock.forward(days=2)
        fresh = http.upload()  # where room is asked for, room is made
        assert set(server.store.saver.drafts()) == {asked_for, fresh}
        assert http.get(f"/v1/uploads/{forgotten}").status_code == 404
        assert offset_of(http, asked_for) == 10
        clock.forward(days=8)
    with daemon(place, tmp_path, clock) as (_, _, server):  # a start makes room too
        assert list(server.store.saver.drafts()) == []


@pytest.mark.local
def test_a_draft_without_an_upload_is_deleted_at_the_start(place: Place, tmp_path: Path) -> None:
    with daemon(place, tmp_path) as (http, *_):
        known = http.upload(DATA)
    staging = tmp_path / "blobs" / "staging"
    (staging / ("b" * 32)).write_bytes(b"left behind")
    with daemon(place, tmp_path):
        assert [path.name for path in staging.iterdir()] == [known]

"""`kill -9` at random moments while four clients push: no acknowledged push is lost, no version is incomplete."""

import hashlib
import os
import random
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from opstore_daemon.protocol import routes
from tests.support.daemon import Daemon
from tests.support.waiting import WITHIN

pytestmark = pytest.mark.process

KILLS = int(os.environ.get("OPSTORE_TEST_KILLS", "6"))
SEED = int(os.environ.get("OPSTORE_TEST_SEED", "7"))
CLIENTS = 4
OPS = ("pca", "forest")  # shared by all clients, so that they number against each other
AWAY = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass
class Acknowledged:
    """An acknowledged push."""

    op: str
    number: str
    digest: str
    data: bytes
    downstream: str


@dataclass
class Work:
    """What the clients share: the running daemon, the acknowledged pushes, whether to continue."""

    daemon: Daemon
    acknowledged: list[Acknowledged] = field(default_factory=list)
    retries: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    turn: threading.Condition = field(default_factory=threading.Condition)

    def replace(self, daemon: Daemon) -> None:
        """Replace the daemon by a new one."""
        with self.turn:
            self.daemon = daemon
            self.turn.notify_all()

    def after(self, gone: Daemon) -> None:
        """Wait for the daemon that replaces this one."""
        with self.turn:
            self.retries += 1
            if self.daemon is gone:
                self.turn.wait(WITHIN)


class Client:
    """Pushes versions with links, one after the other, and repeats unanswered requests."""

    def __init__(self, work: Work, number: int) -> None:
        self._work = work
        self._random = random.Random(SEED * 1000 + number)
        self._name = f"c{number}"
        self._pushes = 0

    def run(self) -> None:
        """Push until the work ends; the current push is completed."""
        while not self._work.ended.is_set():
            self._pushes += 1
            self._push()

    def _push(self) -> None:
        op = self._random.choice(OPS)
        downstream = f"{self._name}-{self._pushes}"
        data = f"{downstream} ".encode() + self._random.randbytes(self._random.choice((10, 5_000, 400_000)))
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        upload = self._upload(data)
        asked = {"upload": upload, "digest": digest, "new": True, "labels": {"by": "test"}}
        asked |= {"valid_for": [f"{downstream}@any"], "new_ops": "exact"}
        key = uuid.uuid4().hex
        status, told = self._ask("POST", routes.path(routes.VERSIONS, op=op), json=asked, key=key)
        assert status == 201, told
        self._work.acknowledged.append(Acknowledged(op, told["version"], digest, data, downstream))

    def _upload(self, data: bytes) -> str:
        status, told = self._ask("POST", routes.UPLOADS, json={"size": len(data)})
        assert status == 201, told
        upload = str(told["upload"])
        offset = 0
        while offset < len(data):
            piece = data[offset : offset + self._random.choice((70_000, 1_000_000))]
            offset = self._append(upload, offset, piece)
        return upload

    def _append(self, upload: str, offset: int, piece: bytes) -> int:
        path = routes.path(routes.UPLOAD, upload=upload)
        headers = {routes.UPLOAD_OFFSET: str(offset), "Content-Type": routes.APPEND_TYPE}
        gone = self._work.daemon
        try:
            status, told = self._once(gone, "PATCH", path, data=piece, headers=headers)
        except AWAY:
            self._work.after(gone)
            status = 0
        if status != 200:
            # Not answered, or by a daemon that has not opened it yet: how much of it is there?
            status, told = self._ask("GET", path)
            assert status == 200, told
        return int(told["offset"])

    def _ask(self, method: str, path: str, key: str | None = None, **options: Any) -> tuple[int, dict[str, Any]]:
        """Return the response; repeat the request until there is one."""
        if key is not None:
            options["headers"] = {routes.IDEMPOTENCY_KEY: key}
        while True:
            gone = self._work.daemon
            try:
                status, told = self._once(gone, method, path, **options)
            except AWAY:
                self._work.after(gone)
                continue
            if status != 503:
                return status, told

    def _once(self, daemon: Daemon, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {daemon.token}"} | options.pop("headers", {})
        response = requests.request(method, daemon.url + path, headers=headers, timeout=WITHIN, **options)
        return response.status_code, response.json()


def check(home: Path, work: Work) -> None:
    """Check the files of the daemon: everything acknowledged is there, and nothing is incomplete."""
    connection = sqlite3.connect(home / "opstore.db")

    def rows(query: str) -> list[Any]:
        return connection.execute(query).fetchall()

    try:
        assert rows("PRAGMA integrity_check") == [("ok",)]
        assert rows("PRAGMA foreign_key_check") == []
        versions = rows(
            "SELECT version.id, op.name, sequence, major_number || '.' || minor_number || '.' || patch_number, digest,"
            " size, version.position FROM version JOIN op ON op.id = op_id ORDER BY op.name, sequence"
        )
        links = rows("SELECT upstream_version_id, name, link.position FROM link JOIN op ON op.id = downstream_id")
        labels = {row[0] for row in rows("SELECT version_id FROM label WHERE key = 'by'")}
        for op in OPS:
            sequences = [row[2] for row in versions if row[1] == op]
            assert sequences == list(range(1, len(sequences) + 1))
            assert rows(f"SELECT last_sequence FROM op WHERE name = '{op}'") in ([(len(sequences),)], [])  # noqa: S608
        positions = [row[0] for row in rows("SELECT position FROM journal ORDER BY position")]
        assert positions == list(range(1, len(positions) + 1))
        assert rows("SELECT position FROM counter") == [(len(positions),)]
        assert sorted([row[6] for row in versions] + [row[2] for row in links]) == positions
    finally:
        connection.close()
    for id_, op, _, number, digest, size, position in versions:
        digits = digest.removeprefix("sha256:")
        data = (home / "blobs" / "blobs" / digits[:2] / digits).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digits, size), (op, number)
        assert id_ in labels
        assert [row[2] for row in links if row[0] == id_] == [position + 1], "a version without its link"
    there = {(row[1], row[3]): (row[0], row[4]) for row in versions}
    linked = {(row[0], row[1]) for row in links}
    for push in work.acknowledged:
        id_, digest = there[push.op, push.number]
        assert digest == push.digest
        assert (id_, push.downstream) in linked
    assert len(versions) == len(work.acknowledged), "each push was repeated until it was answered, and made one version"


def wait(seconds: float, stop: Callable[[], bool]) -> None:
    """Let the clients work for a while, unless they failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stop():
        time.sleep(0.005)


def test_nothing_acknowledged_is_lost_and_nothing_is_incomplete_after_kills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, moments = tmp_path / "home", random.Random(SEED)
    work = Work(Daemon.start(home))
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(Client(work, number).run) for number in range(CLIENTS)]

            def failed() -> bool:
                return any(client.done() for client in clients)

            try:
                for _ in range(KILLS):
                    wait(moments.uniform(0.05, 1.2), failed)
                    work.daemon.kill()
                    work.replace(Daemon.start(home))
            finally:
                work.ended.set()
            for client in clients:
                client.result()
    finally:
        work.daemon.kill()
    check(home, work)
    assert work.acknowledged
    with capsys.disabled():
        print(  # noqa: T201 - the summary is what a long run is for
            f"\n{KILLS} kills (seed {SEED}): {len(work.acknowledged)} pushes acknowledged, all there;"
            f" {work.retries} requests were cut off and repeated"
        )

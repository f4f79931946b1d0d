"""Clients that push to a daemon that is killed again and again: they repeat each request until it is answered."""

import hashlib
import http.client
import json
import random
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from urllib3 import encode_multipart_formdata

from opstore_daemon.protocol import routes
from tests.support.daemon import Daemon
from tests.support.waiting import WITHIN

OPS = ("pca", "forest", "scaler")  # shared by all clients, so that they number against each other
SIZES = (10, 5_000, 400_000)
CONTENTS = 6  # that all clients push again and again: half of the bytes are duplicates
KEPT = 4  # pushes of a client after which it removes the first two of them
AWAY = (OSError, http.client.HTTPException, json.JSONDecodeError)  # the last one: half an answer


@dataclass
class Push:
    """An acknowledged push, and whether its removal was acknowledged, too."""

    op: str
    number: str
    digest: str
    downstream: str
    removed: bool = False


@dataclass
class Work:
    """What the clients share: the running daemon, the acknowledged pushes, whether to continue."""

    daemon: Daemon
    seed: int
    pushes: list[Push] = field(default_factory=list)
    repeated: int = 0
    collected: int = 0
    refused: dict[str, int] = field(default_factory=dict)
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
            self.repeated += 1
            if self.daemon is gone:
                self.turn.wait(WITHIN)

    def contents(self) -> list[bytes]:
        """Return the contents that all clients push."""
        shared = random.Random(self.seed)
        return [b"shared %d " % place + shared.randbytes(SIZES[place % len(SIZES)]) for place in range(CONTENTS)]


class Client:
    """A client that repeats unanswered requests."""

    def __init__(self, work: Work, number: int) -> None:
        self.work = work
        self.random = random.Random(work.seed * 1000 + number)
        self.name = f"c{number}"

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, key: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Return the response; repeat the request, with its idempotency key, until there is one."""
        if key is not None:
            headers["Idempotency_Key"] = key
        while True:
            gone = self.work.daemon
            try:
                status, answer = gone.ask(method, path, body, **headers)
            except AWAY:
                self.work.after(gone)
                continue
            if status != 503:
                return status, answer
            with self.work.turn:
                code = str(answer["code"])
                self.work.refused[code] = self.work.refused.get(code, 0) + 1


class Pusher(Client):
    """Pushes versions with a link and a label, half of them with bytes that others push, too; removes some again."""

    def __init__(self, work: Work, number: int) -> None:
        super().__init__(work, number)
        self._contents = work.contents()
        self._count = 0
        self._kept: list[Push] = []

    def run(self) -> None:
        """Push until the work ends; the current push is completed."""
        while not self.work.ended.is_set():
            self._push()

    def _push(self) -> None:
        self._count += 1
        op, downstream = self.random.choice(OPS), f"{self.name}-{self._count}"
        data = self.random.choice(self._contents)
        if self.random.random() < 0.5:
            data = f"{downstream} ".encode() + self.random.randbytes(self.random.choice(SIZES))
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        declared: dict[str, Any] = {"digest": digest, "size": len(data), "new": True, "labels": {"by": self.name}}
        declared |= {"valid_for": [f"{downstream}@any"], "new_ops": "exact"}
        way = self.random.choice((self._in_one_request, self._by_digest, self._by_upload))
        version = way(op, data, declared)
        push = Push(op, version["version"], digest, downstream)
        self.work.pushes.append(push)
        self._kept.append(push)
        if len(self._kept) == KEPT:
            self._remove(self._kept[0], self._kept[1])
            self._kept.clear()

    def _remove(self, *pushes: Push) -> None:
        """Remove versions of this client, so that the collector has something to collect."""
        body = {"references": [f"{push.op}@{push.number}" for push in pushes], "force": True}
        status, answer = self.ask("POST", routes.REMOVALS, body, uuid.uuid4().hex)
        assert status == 200, answer
        for push in pushes:
            push.removed = True

    def _in_one_request(self, op: str, data: bytes, declared: dict[str, Any]) -> dict[str, Any]:
        parts: dict[str, tuple[str, str | bytes, str]] = {
            "version": ("version", json.dumps(declared), routes.JSON),
            "bytes": ("bytes", data, routes.BYTES_TYPE),
        }
        body, content_type = encode_multipart_formdata(parts, boundary="opstore-test-boundary")
        return self._create(op, body, Content_Type=content_type)

    def _by_digest(self, op: str, data: bytes, declared: dict[str, Any]) -> dict[str, Any]:
        """Send no bytes if the store has them."""
        status, answer = self.ask("POST", routes.path(routes.VERSIONS, op=op), declared, uuid.uuid4().hex)
        if status == 201:
            return answer
        assert (status, answer["code"]) == (404, "BlobNotFound"), answer
        return self._by_upload(op, data, declared)

    def _by_upload(self, op: str, data: bytes, declared: dict[str, Any]) -> dict[str, Any]:
        status, answer = self.ask("POST", routes.UPLOADS, {"size": len(data)}, uuid.uuid4().hex)
        assert status == 201, answer
        upload, offset = str(answer["upload"]), 0
        while offset < len(data):
            piece = data[offset : offset + self.random.choice((70_000, 1_000_000))]
            offset = self._append(upload, offset, piece)
        return self._create(op, declared | {"upload": upload})

    def _append(self, upload: str, offset: int, piece: bytes) -> int:
        path = routes.path(routes.UPLOAD, upload=upload)
        gone = self.work.daemon
        try:
            status, answer = gone.ask("PATCH", path, piece, Upload_Offset=str(offset))
        except AWAY:
            self.work.after(gone)
            status = 0
        if status != 200:
            # Not answered, or by a daemon that has not opened it yet: how much of it is there?
            status, answer = self.ask("GET", path)
            assert status == 200, answer
        return int(answer["offset"])

    def _create(self, op: str, body: bytes | dict[str, Any], **headers: str) -> dict[str, Any]:
        status, answer = self.ask("POST", routes.path(routes.VERSIONS, op=op), body, uuid.uuid4().hex, **headers)
        assert status == 201, answer
        return answer


class Collector(Client):
    """Collects garbage all the time, without grace; every other collection empties the trash, too."""

    def run(self) -> None:
        """Collect until the work ends."""
        purge = False
        while not self.work.ended.is_set():
            purge = not purge
            answer = self.collect(purge=purge)
            self.work.collected += answer["garbage"]

    def collect(self, *, purge: bool) -> dict[str, Any]:
        """Collect once; return what the daemon says about it."""
        status, answer = self.ask("POST", routes.GARBAGE, {"grace": 0, "purge": purge}, uuid.uuid4().hex)
        assert status == 200, answer
        assert not answer["problems"], answer
        return answer

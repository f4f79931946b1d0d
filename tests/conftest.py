"""What tests of a running daemon share: a real server on a real folder and database, listening on a free port."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import requests
from hypothesis import settings

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from opstore_daemon.savers import FileSaver, MemorySaver
from opstore_daemon.web.guards import Scope
from tests.support import examples, forked
from tests.support.conformance import conformance

pytest_plugins = ["opstore_daemon.testing"]
settings.load_profile(examples.QUICK)  # unless there is --hypothesis-profile all

ADMIN_TOKEN = "admin-token-4f1d0c7e"
WRITE_TOKEN = "write-token-8b02aa91"
READ_TOKEN = "read-token-c6e6d0f3"
TIMEOUT = 30  # seconds, for what takes milliseconds


def open_server(folder: Path, **options: Any) -> OpStoreServer:
    """A server on the blobs and the database in the folder: the same ones, where they are there."""
    saver = options.pop("saver", None) or FileSaver(folder / "blobs")
    tokens: dict[str, Scope] = {WRITE_TOKEN: "write", READ_TOKEN: "read"}
    return OpStoreServer(saver, f"sqlite:///{folder / 'opstore.db'}", token=ADMIN_TOKEN, tokens=tokens, **options)


def wait_for(condition: Callable[[], bool], what: str = "it", seconds: float = TIMEOUT) -> None:
    """Polls until the condition holds; fails where it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.005)


class Http:
    """A client of one daemon, with one token: paths in, requests' answers out."""

    def __init__(self, url: str, token: str | None = ADMIN_TOKEN) -> None:
        self.url, self.token = url, token
        self._session = requests.Session()
        self._session.trust_env = False
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._others: list[Http] = []

    def with_token(self, token: str | None) -> "Http":
        """The same daemon, asked by somebody else."""
        other = Http(self.url, token)
        self._others.append(other)
        return other

    def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Any = None,
        files: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """One request; what is exchanged is held to the OpenAPI document."""
        answer = self._session.request(
            method,
            self.url + path,
            json=json,
            data=data,
            headers=headers,
            params=params,
            files=files,
            stream=stream,
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        conformance().check(answer, streamed=stream)
        return answer

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.ask("POST", path, json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.ask("PATCH", path, json, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.ask("DELETE", path, **options)

    def upload(self, data: bytes = b"", size: int | None = None) -> str:
        """A new upload that has these bytes."""
        created = self.post(routes.UPLOADS, {"size": size})
        assert created.status_code == 201, created.text
        upload: str = created.json()["upload"]
        if data:
            assert self.append(upload, data).status_code == 200
        return upload

    def append(self, upload: str, data: Any, offset: int | str | None = 0, **headers: str) -> requests.Response:
        """Sends bytes to an upload."""
        given = {"Content-Type": routes.APPEND_TYPE, **headers}
        if offset is not None:
            given[routes.UPLOAD_OFFSET] = str(offset)
        return self.ask("PATCH", f"{routes.UPLOADS}/{upload}", data=data, headers=given)

    def push(self, op: str, data: bytes, **wanted: Any) -> dict[str, Any]:
        """Stores the bytes as a version of the op."""
        answer = self.post(f"{routes.OPS}/{op}/versions", {"upload": self.upload(data), **wanted})
        assert answer.status_code in (200, 201), answer.text
        version: dict[str, Any] = answer.json()
        return version

    def register(self, op: str, **fields: str) -> dict[str, Any]:
        """Registers a version without bytes, by its major fields."""
        answer = self.post(f"{routes.OPS}/{op}/versions", {"fields": {"major": fields}})
        assert answer.status_code in (200, 201), answer.text
        version: dict[str, Any] = answer.json()
        return version

    def pull(self, op: str, selector: str = "latest", **options: Any) -> requests.Response:
        """The bytes of a version."""
        return self.get(f"{routes.OPS}/{op}/versions/{selector}/bytes", **options)

    def close(self) -> None:
        for client in (self, *self._others):
            client._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@pytest.fixture(scope="session", autouse=True)
def fork_servers() -> Iterator[None]:
    """End the fork servers when the tests end."""
    yield
    forked.close_all()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpStoreServer]:
    """A server on a folder and a database file, with a token of each scope."""
    opened = open_server(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def memory_server() -> Iterator[OpStoreServer]:
    """A server that keeps everything in memory."""
    opened = OpStoreServer(MemorySaver(), token=ADMIN_TOKEN)
    yield opened
    opened.close()


@pytest.fixture
def listener(server: OpStoreServer) -> Iterator[Listener]:
    """The server, listening on a free port, in a thread."""
    with Listener(server) as running:
        yield running


@pytest.fixture
def http(listener: Listener) -> Iterator[Http]:
    """A client of the listening server, with the admin's token."""
    with Http(listener.url) as client:
        yield client

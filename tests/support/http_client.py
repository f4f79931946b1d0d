"""An HTTP client that checks each exchange against the OpenAPI document."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import requests

from opstore_daemon.protocol import routes
from tests.support.conformance import conformance
from tests.support.servers import ADMIN_TOKEN, TIMEOUT


class Http:
    """A client of one daemon with one token."""

    def __init__(self, url: str, token: str | None = ADMIN_TOKEN) -> None:
        self.url, self.token = url, token
        self._session = requests.Session()
        self._session.trust_env = False
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._others: list[Http] = []

    def with_token(self, token: str | None) -> "Http":
        """Return a client of the same daemon with another token."""
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
        """Send a request; check request and response against the OpenAPI document."""
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
        """Create an upload with these bytes; return its id."""
        created = self.post(routes.UPLOADS, {"size": size})
        assert created.status_code == 201, created.text
        upload: str = created.json()["upload"]
        if data:
            assert self.append(upload, data).status_code == 200
        return upload

    def append(self, upload: str, data: Any, offset: int | str | None = 0, **headers: str) -> requests.Response:
        """Append bytes to an upload."""
        given = {"Content-Type": routes.APPEND_TYPE, **headers}
        if offset is not None:
            given[routes.UPLOAD_OFFSET] = str(offset)
        return self.ask("PATCH", f"{routes.UPLOADS}/{upload}", data=data, headers=given)

    def push(self, op: str, data: bytes, **wanted: Any) -> dict[str, Any]:
        """Push the bytes as a version of the op; return the version."""
        answer = self.post(f"{routes.OPS}/{op}/versions", {"upload": self.upload(data), **wanted})
        assert answer.status_code in (200, 201), answer.text
        version: dict[str, Any] = answer.json()
        return version

    def register(self, op: str, **fields: str) -> dict[str, Any]:
        """Register a version without bytes by its major fields; return it."""
        answer = self.post(f"{routes.OPS}/{op}/versions", {"fields": {"major": fields}})
        assert answer.status_code in (200, 201), answer.text
        version: dict[str, Any] = answer.json()
        return version

    def pull(self, op: str, selector: str = "latest", **options: Any) -> requests.Response:
        """Request the bytes of a version."""
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

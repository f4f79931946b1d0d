"""A client without a network: BaseOpStoreClient on the WSGI application of a server in this process."""

import io
from collections.abc import Mapping
from typing import Any

from opstore_cli import BaseOpStoreClient
from opstore_cli.transport.interface import Body
from opstore_daemon import OpStoreServer
from tests.support.conformance import conformance


class Answered:
    """A response of Flask's test client."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers = status, headers
        self._body = io.BytesIO(body)

    def read(self, size: int, /) -> bytes:
        return self._body.read(size)

    def close(self) -> None:
        self._body.close()


class InProcessClient(BaseOpStoreClient):
    """A client whose transport is a call of the server's application."""

    def __init__(self, server: OpStoreServer) -> None:
        super().__init__()
        self._flask = server.flask.test_client()
        self._token = server.token

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Answered:
        with self._flask.open(
            path,
            method=method,
            headers={**headers, "Authorization": f"Bearer {self._token}"},
            query_string={name: value for name, value in parameters.items() if value is not None},
            data=body if body is None or isinstance(body, bytes) else body.read(),
        ) as answer:
            received = dict(answer.headers)
            conformance().check_answer(method, path, answer.status_code, received, answer.data)
            return Answered(answer.status_code, received, answer.data)

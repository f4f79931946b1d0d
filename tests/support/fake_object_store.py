"""A fake object store with the bytes of one object, which fails on demand. Its URLs are numbered."""

import re
from http.server import BaseHTTPRequestHandler
from typing import cast

from tests.support.http_thread import Handler, HttpThread

SECRET = "X-Amz-Signature=very-secret"


class FakeObjectStore(HttpThread):
    """Serves `data` at every URL that `new_url` has returned and that is not among the `expired`.

    `faults` are those of the next requests: a number of bytes after which the connection is cut, an HTTP status, or a
    text, the address that the client is redirected to.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.claims: dict[str, str] = {}  # headers that override those of every response
        self.ranges = True
        self.urls = 0
        self.expired: set[int] = set()
        self.expires_after: int | None = None  # requests for one URL
        self.faults: list[int | str] = []
        self.requests: list[tuple[int, str]] = []  # the number of the URL, and the range
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        super().__init__(_Handler)

    def new_url(self) -> str:
        """Return the next URL."""
        self.urls += 1
        return f"{self.url}/bucket/object-{self.urls}?X-Amz-Date=1&{SECRET}"


class _Handler(Handler, BaseHTTPRequestHandler):
    @property
    def store(self) -> FakeObjectStore:
        return cast(FakeObjectStore, self.owner)

    def setup(self) -> None:
        super().setup()
        self.store.connections += 1

    def do_GET(self) -> None:
        store = self.store
        number = int(self.path.partition("?")[0].rpartition("-")[2])
        asked = self.headers.get("Range", "")
        store.requests.append((number, asked))
        store.headers.append(dict(self.headers.items()))
        if store.expires_after is not None and [url for url, _ in store.requests].count(number) > store.expires_after:
            store.expired.add(number)
        fault = store.faults.pop(0) if store.faults else None
        if number in store.expired or not self.path.endswith(SECRET):
            fault = 403
        if isinstance(fault, str) or (fault is not None and 300 <= fault < 600):
            self.send_response(302 if isinstance(fault, str) else fault)
            self.send_header("Content-Length", "0")
            if isinstance(fault, str):
                self.send_header("Location", fault)
            self.end_headers()
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked) if store.ranges else None
        first = int(match[1]) if match else 0
        sent = store.data[first : int(match[2]) + 1 if match and match[2] else None]
        self.send_response(206 if match else 200)
        headers = {"Content-Length": str(len(sent))}
        if match:
            headers["Content-Range"] = f"bytes {first}-{first + len(sent) - 1}/{len(store.data)}"
        for name, value in {**headers, **store.claims}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent[:fault])
        self.close_connection = fault is not None

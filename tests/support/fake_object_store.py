"""A fake object store with the bytes of one object and parts of an upload, which fails on demand.

It numbers its URLs.
"""

import base64
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler
from typing import cast

from tests.support.http_thread import Handler, HttpThread

SECRET = "X-Amz-Signature=very-secret"


class FakeObjectStore(HttpThread):
    """Serves `data` at every URL that `new_url` has returned and that is not among the `expired`.

    `faults` are those of the next requests: a number of bytes after which the connection is cut, an HTTP status, or a
    text, the address that the client is redirected to.

    It stores the `parts` that are sent to the URLs of `new_part_url`. `part_faults` are those of the next requests for
    a part, by its number; in addition to those above, "hang" leaves the client without an answer until `let_go` is set.
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
        self.parts: dict[int, tuple[str, bytes]] = {}  # by number: the ETag and the bytes
        self.part_faults: dict[int, list[int | str]] = {}
        self.puts: list[int] = []  # the number of the part of each request
        self.received = 0  # bytes of parts
        self.let_go = threading.Event()
        self.lock = threading.Lock()
        super().__init__(_Handler)

    def new_url(self) -> str:
        """Return the next URL."""
        self.urls += 1
        return f"{self.url}/bucket/object-{self.urls}?X-Amz-Date=1&{SECRET}"

    def new_part_url(self, number: int) -> str:
        """Return the next URL, for a part."""
        return f"{self.new_url()}&uploadId=u&partNumber={number}"

    def part(self, number: int, etag: str) -> bytes | None:
        """Return the bytes of a part, or None if there is no such part with that ETag."""
        found = self.parts.get(number)
        return found[1] if found is not None and found[0] == etag else None


class _Handler(Handler, BaseHTTPRequestHandler):
    @property
    def store(self) -> FakeObjectStore:
        return cast(FakeObjectStore, self.owner)

    def setup(self) -> None:
        super().setup()
        self.store.connections += 1

    def refuse(self, fault: int | str) -> None:
        """Answer with a status, or with a redirect to an address."""
        self.send_response(302 if isinstance(fault, str) else fault)
        self.send_header("Content-Length", "0")
        if isinstance(fault, str):
            self.send_header("Location", fault)
        self.end_headers()

    def do_PUT(self) -> None:
        store, path = self.store, self.path
        number, url = int(path.rpartition("partNumber=")[2]), int(path.partition("?")[0].rpartition("-")[2])
        with store.lock:
            store.puts.append(number)
            store.headers.append(dict(self.headers.items()))
            faults = store.part_faults.get(number)
            fault = faults.pop(0) if faults else None
        size = int(self.headers["Content-Length"])
        is_cut = isinstance(fault, int) and not 300 <= fault < 600
        data = self.rfile.read(cast(int, fault) if is_cut else size)
        with store.lock:
            store.received += len(data)
        if fault == "hang":
            store.let_go.wait(60)
            self.close_connection = True
            return
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        if url in store.expired or SECRET not in path:
            fault = 403
        elif fault is None and self.headers.get("x-amz-checksum-sha256") != digest:
            fault = 400
        if isinstance(fault, str) or (fault is not None and 300 <= fault < 600):
            self.refuse(fault)
            return
        if fault is not None:
            self.close_connection = True
            return
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        with store.lock:
            store.parts[number] = etag, data
        self.send_response(200)
        for name, value in {"Content-Length": "0", "ETag": etag, **store.claims}.items():
            self.send_header(name, value)
        self.end_headers()

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
            self.refuse(fault)
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

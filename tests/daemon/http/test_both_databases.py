"""The same requests get the same responses from a store in SQLite and one in PostgreSQL.

Names, keys and texts are those that databases order, compare and refuse differently unless they are asked not to:
punctuation, capitals, letters beyond ASCII and beyond the 16 bits of UTF-16, NUL, numbers beyond 32 and 64 bits.
"""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import routes
from opstore_daemon.savers import MemorySaver
from tests.support.postgres import Postgres
from tests.support.servers import ADMIN_TOKEN

NAMES = ("z", "a_b", "a-b", "a.b", "ab", "a0", "a", "b1")
TAGS = ("v1", "v-1", "v.1", "v_1", "v10", "v2")
KEYS = ("Z", "a", "A", "ä", "Ä", "z", "é", "_", "-", "\uff5e", "\U0001f600")
TEXTS = ("Grün 100%", "GRÜN 100 %", "under_score", "underXscore", "back\\slash", "it's", "\U0001f600\uff5e")
SOUGHT = ("GRÜN", "grün", "grÜn", "100%", "under_", "k\\s", "\\", "%", "_", "'", "\uff5e", "A.B", "V-1", "\0")
STRANGE: dict[str, tuple[str, ...]] = {
    "integer": ("-1", str(2**31), str(2**63), "9" * 30),
    "string": ("", "\0", "É", "\U0001f600", "x" * 5000, "9" * 30),
    "array": ("a=\0", "Ä=%", "\0"),
}
CHANGING = (routes.STATUS, routes.FSCK, routes.GARBAGE)
"""What these report differs: sizes of the database, steps of its checks."""
WIDE = "\U0001f600"
BODIES: tuple[tuple[str, str, Any], ...] = (
    *(
        ("POST", "/v1/ops/texts/versions", {"fields": {"major": {"k": text}}, "message": text})
        for text in ("\0", WIDE * 65536, WIDE * 65537)
    ),
    *(("PATCH", "/v1/ops/a/versions/1.0.0", {"labels": {key: "v"}}) for key in (WIDE * 128, WIDE * 129, "\0", "")),
    *(("PATCH", "/v1/ops/a/versions/1.0.0", {"labels": {"k": text}}) for text in (WIDE * 1024, WIDE * 1025, "\0", "")),
    *(("PATCH", "/v1/ops/a/versions/1.0.0", {"message": text}) for text in ("\0", "\ud800", WIDE * 65536)),
    *(("PATCH", "/v1/ops/a", {"description": text}) for text in ("\0", WIDE * 65536, "x" * 65537, "Ä b")),
    *(("PUT", "/v1/ops/a/versions/1.0.0/yank", {"reason": text}) for text in ("\0", "", WIDE * 4096, WIDE * 4097)),
    *(("POST", "/v1/uploads", {"size": size}) for size in (2**31, 2**63 - 1, 2**63, -1)),
    *(("POST", "/v1/pipelines", {"name": name, "ops": ["a", "b1"]}) for name in ("\0", "P", "p" * 128, "p" * 129)),
)


class Both:
    """The same requests to two servers."""

    def __init__(self, servers: list[OpStoreServer]) -> None:
        self._clients = [server.flask.test_client() for server in servers]

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Return status and body, if both are the same."""
        head = {"Authorization": f"Bearer {ADMIN_TOKEN}", **options.pop("headers", {})}
        found = []
        for client in self._clients:
            with client.open(path, method=method, headers=head, **options) as response:
                body = response.get_data(as_text=True)
            # An upload has a random id, the check of a database other steps.
            found.append((response.status_code, re.sub(r'"(upload|request_id)":"[^"]*"', "", body)))
        assert found[0] == found[1], f"{method} {path[:200]} {str(options)[:200]}"
        assert found[0][0] < 500, found[0]
        return found[0]

    def sign_in(self) -> None:
        """Start a session of the page on each."""
        for client in self._clients:
            made = client.post(routes.SESSIONS, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
            assert client.get(made.get_json()["path"]).status_code == 303


@pytest.fixture(scope="module")
def both(postgres: Postgres) -> Iterator[Both]:
    """Return two stores with the same ops, in an order that no database would choose."""
    now = datetime(2026, 5, 4, tzinfo=UTC)
    with postgres.store_database() as url:
        options: dict[str, Any] = {"token": ADMIN_TOKEN, "clock": lambda: now}
        with (
            closing(OpStoreServer(MemorySaver(), **options)) as one,
            closing(OpStoreServer(MemorySaver(), url, **options)) as other,
        ):
            for server in (one, other):
                fill(server)
            yield Both([one, other])


def fill(server: OpStoreServer) -> None:
    store = server.store
    for number, name in enumerate(NAMES):
        labels = {key: f"{key} {number}" for key in reversed(KEYS)}
        for place, text in enumerate(TEXTS if name == "a" else TEXTS[:1]):
            store.push(name, f"{number} {place}".encode(), message=text, labels=labels | {"text": text})
        store.set_op(name, description=TEXTS[number % len(TEXTS)], compat="minor")
        for tag in TAGS:
            store.tag(f"{name}@1.0.0", tag)
    for name in NAMES:
        store.register_pipeline(f"p{name}", ["a", name] if name != "a" else ["a", "b1"])
    for name in NAMES[1:]:
        store.link("z", name)
    store.untag("a", "v2")
    store.yank("a@1.0.3", "bad")


def parameters_of(document: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield the path of each GET, and name, place and type of each of its parameters."""
    for path, item in json.loads(document)["paths"].items():
        if "get" in item and path not in CHANGING:
            parameters = (each for each in item["get"].get("parameters", []) if each["in"] != "header")
            yield path, [(each["name"], each["in"], each["schema"].get("type", "string")) for each in parameters]


@pytest.mark.slow
def test_lists_are_in_the_same_order_and_pages_end_at_the_same_place(both: Both) -> None:
    for path in (routes.OPS, routes.TAGS, routes.PIPELINES, routes.LINKS, routes.JOURNAL, "/v1/ops/a/versions"):
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
            status, body = both.ask("GET", f"{path}?{urlencode(query)}")
            assert status == 200
            found = re.search(r'"next_cursor":"?([^",}]*)', body)
            cursor = found[1] if found is not None and found[1] != "null" else None
            if path == routes.JOURNAL and cursor is not None and int(cursor) < 80:
                break


@pytest.mark.slow
def test_a_search_finds_the_same_whatever_the_case_and_the_wildcards(both: Both) -> None:
    pages = ("/ui/search?q=", "/?q=", "/ui/ops/a?q=")
    both.sign_in()
    for page in pages:
        for text in (
            "GRÜN",
            "grün",
            "grÜn",
            "100%",
            "under_",
            "k\\s",
            "\\",
            "%",
            "_",
            "'",
            "\uff5e",
            "A.B",
            "V-1",
            "\0",
        ):
            both.ask("GET", page + quote(text))


@pytest.mark.slow
def test_strange_values_of_parameters_get_the_same_responses(both: Both) -> None:
    _, document = both.ask("GET", routes.DOCUMENT)
    for template, parameters in parameters_of(document):
        known = {"op": "a", "selector": "1.0.0", "pipeline": "pa", "run": "1", "upload": "0" * 32}
        for name, place, kind in parameters:
            for value in STRANGE.get(kind, STRANGE["string"]):
                path = template
                for each, usual in known.items():
                    given = value if (place, name) == ("path", each) else usual
                    path = path.replace(f"{{{each}}}", quote(given, safe=""))
                both.ask("GET", path if place == "path" else f"{path}?{urlencode({name: value})}")


def test_strange_values_of_records_get_the_same_responses(both: Both) -> None:
    for method, path, body in BODIES:
        both.ask(method, path, json=body)

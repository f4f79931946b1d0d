"""Check error responses, and that they changed nothing."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata.tables import Base
from opstore_daemon.protocol import errors, routes
from opstore_daemon.savers import folder_identity
from opstore_daemon.savers.collection_lock import COLLECT_LOCK
from opstore_daemon.web.app import HEADERS
from tests.support import raw_http
from tests.support.servers import ADMIN_TOKEN, READ_TOKEN, WRITE_TOKEN

OF_SAVER = ("object", "object_draft", "object_part")
"""The tables in which a saver records its objects and its trash."""
KNOWN = {error.__name__: error for error in errors.all_errors()}


class Watch:
    """Checks that a refused request changes nothing in the store, and in the end that the daemon still responds.

    `mark` records the current state as the expected one.
    """

    def __init__(self, server: OpStoreServer, listener: Listener, folder: Path) -> None:
        self._server, self._port, self._folder = server, listener.port, folder
        self._commits = None if server.db.path is None else sqlite3.connect(server.db.path)
        self._read_at: int | None = None
        self._rows: dict[str, Any] = {}
        self.mark()

    def mark(self) -> None:
        """Record the state that may not change from here on."""
        self._before = self.held()

    def files(self) -> dict[str, int]:
        """Return the files of the saver with their sizes, except those of its identity and the collector's lock.

        In an object store: the blobs. The trash has what a push of the same bytes replaced.
        """
        saver = self._server.store.saver
        if saver.needs_records:
            return {digest: saver.size(digest) for digest in saver}
        others = {*folder_identity.FILES, COLLECT_LOCK}
        found = (path for path in self._folder.rglob("*") if path.is_file() and path.name not in others)
        return {str(path.relative_to(self._folder)): path.stat().st_size for path in found}

    def held(self) -> dict[str, Any]:
        """Return all rows and all files."""
        commits = self._count_commits()
        if commits is None or commits != self._read_at:
            self._rows, self._read_at = self._all_rows(), commits
        return {**self._rows, "files": self.files()}

    def _count_commits(self) -> int | None:
        """Return a number that each commit of another connection changes, on SQLite: rows take 100 times longer."""
        if self._commits is None:
            return None
        (count,) = self._commits.execute("PRAGMA data_version").fetchone()
        return int(count)

    def _all_rows(self) -> dict[str, Any]:
        rows: dict[str, Any] = {}
        with self._server.db.read() as connection:
            for table in Base.metadata.sorted_tables:
                if table.name in OF_SAVER:
                    continue
                columns = [column for column in table.columns if column.name != "touched_at"]
                rows[table.name] = sorted(map(repr, connection.execute(select(*columns))))
        return rows

    def assert_unchanged(self) -> None:
        """Check that nothing was stored."""
        assert self.held() == self._before

    def close(self) -> None:
        """Check that the daemon still responds, after all requests."""
        if self._commits is not None:
            self._commits.close()
        alive = raw_http.ask(self._port, "GET", routes.HEALTH)
        assert (alive.status, alive.body) == (200, b"ok\n")

    def assert_problem(
        self, answer: requests.Response | raw_http.Answer, status: int, code: str, *, unchanged: bool = True
    ) -> dict[str, Any]:
        """Check that the response is this error in the common form; return its details."""
        if isinstance(answer, requests.Response):
            headers = {name.lower(): value for name, value in answer.headers.items()}
            answer = raw_http.Answer(answer.status_code, headers, answer.content)
        problem = json.loads(answer.body)
        assert (answer.status, problem["status"], problem["code"]) == (status, status, code), problem
        assert answer.headers["content-type"] == routes.PROBLEM
        assert problem["title"]
        assert problem["detail"]
        assert problem["type"] == "about:blank"
        error = KNOWN[code]
        assert error.status == status
        if error.hint and not error.hint.startswith("{"):
            assert problem["hint"]
        for name, value in HEADERS.items():
            assert answer.headers[name.lower()] == value
        assert answer.headers[routes.REQUEST_ID.lower()]
        for token in (ADMIN_TOKEN, WRITE_TOKEN, READ_TOKEN):
            assert token not in answer.body.decode() + str(answer.headers)
        if unchanged:
            self.assert_unchanged()
        details: dict[str, Any] = problem["details"]
        return details

"""The state of the daemon, and its error responses."""

from typing import Any

import msgspec

from opstore_daemon.protocol.records.base import Count, Reason, Record, Sentence, Size, Time, Word


class Status(Record, frozen=True, kw_only=True):
    """The state of the daemon that answered, which may be one of several. `home` is None if it has no data folder.

    `host` is the name of its machine or container, None if an earlier release runs there.

    `ops` and `versions` count what the store has. `database_size` and `blobs_size` are bytes: those of the database's
    files, None if it has none, and those of all stored blobs, each counted once.
    """

    version: Word
    pid: Count
    home: Reason | None
    schema: Word
    started_at: Time
    ops: Count | None = None
    versions: Count | None = None
    database_size: Size | None = None
    blobs_size: Size | None = None
    host: Reason | None = None


class Problem(Record, frozen=True, kw_only=True):
    """An error on the wire (RFC 9457); `code`, `details` and `hint` are those of `protocol.errors`."""

    type: Sentence = "about:blank"
    title: Sentence
    status: int
    detail: Sentence
    code: Word
    hint: Sentence = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)

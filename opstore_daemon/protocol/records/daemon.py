"""The state of the daemon, and its error responses."""

from typing import Any

import msgspec

from opstore_daemon.protocol.records.base import Record, Time


class Status(Record, frozen=True, kw_only=True):
    """The state of the daemon. `home` is None if it has no data folder."""

    version: str
    pid: int
    home: str | None
    schema: str
    started_at: Time


class Problem(Record, frozen=True, kw_only=True):
    """An error on the wire (RFC 9457); `code`, `details` and `hint` are those of `protocol.errors`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)

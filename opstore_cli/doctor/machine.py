"""The machine that the checks examine, and the results that they return."""

import shlex
import time
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opstore_cli.config.settings import Settings
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import Status

if TYPE_CHECKING:
    from opstore_cli.local.runtime import LocalDaemon


class Result(NamedTuple):
    """What a check found; `advice` is None if there is no problem."""

    found: str
    advice: str | None = None


def ok(found: str) -> Result:
    """Return the result of a check that found no problem."""
    return Result(found)


def problem(found: str, advice: str) -> Result:
    """Return a problem and what to do about it."""
    return Result(found, advice)


def quoted(path: Path) -> str:
    """Return the path quoted for a shell."""
    return shlex.quote(str(path))


@dataclass(frozen=True, slots=True)
class Response:
    """The status of the daemon. `ahead`: seconds that its clock is ahead of this machine's, None if unknown."""

    status: Status
    ahead: float | None


@dataclass(frozen=True)
class Machine:
    """The machine of a user. If the settings are refused, `settings` is None and `refusal` is the error."""

    home: Path
    cwd: Path
    settings: Settings | None = None
    refusal: errors.OpStoreError | None = None

    @cached_property
    def local(self) -> "LocalDaemon | errors.OpStoreError | None":
        """The daemon of the home, or why it can't be used; None if none runs."""
        from opstore_cli.local import lookup

        try:
            return lookup.find(self.home, lookup.BRIEF)
        except errors.OpStoreError as error:
            return error

    @cached_property
    def response(self) -> Response | errors.OpStoreError | None:
        """The response of the daemon of the settings, or its error; None if there is no daemon.

        Reading it does not start one.
        """
        from opstore_cli.client.client import OpStoreClient

        if self.settings is None:
            return None
        if self.settings.url is None and (self.local is None or isinstance(self.local, errors.OpStoreError)):
            return None
        try:
            with OpStoreClient(settings=replace(self.settings, autostart=False)) as client:
                status = client.status()
                health = client.request("GET", routes.HEALTH, headers={}, parameters={}, body=None)
                with closing(health):
                    return Response(status, _ahead(health.headers.get("Date")))
        except errors.OpStoreError as error:
            return error


def _ahead(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None

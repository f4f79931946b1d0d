"""What the checks look at, and what they say."""

import os
import shlex
import time
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from opstore_cli.config.settings import Settings
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import Status


class Result(NamedTuple):
    """What was found; without advice all is well."""

    found: str
    advice: str | None = None


def ok(found: str) -> Result:
    """All is well."""
    return Result(found)


def problem(found: str, advice: str) -> Result:
    """Something is problem, and this is what to do."""
    return Result(found, advice)


def quoted(path: Path) -> str:
    """The path as a shell takes it."""
    return shlex.quote(str(path))


def belongs_to_another(path: Path) -> bool:
    """Whether another user owns what is there."""
    return os.name == "posix" and path.stat().st_uid != os.geteuid()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered: `ahead` is by how many seconds its clock is ahead of ours, None where it told none."""

    status: Status
    ahead: float | None


@dataclass(frozen=True)
class Machine:
    """A user's machine. `settings` is None where they were refused, `refusal` says why."""

    home: Path
    cwd: Path
    settings: Settings | None = None
    refusal: errors.OpStoreError | None = None

    @cached_property
    def asked(self) -> Answer | errors.OpStoreError | None:
        """What the daemon that the settings mean answers, or why it does not; None where there is none to ask.

        No local daemon is started for this.
        """
        from opstore_cli.client.client import OpStoreClient
        from opstore_cli.local import daemon

        if self.settings is None or (self.settings.url is None and daemon.find(self.home) is None):
            return None
        try:
            with OpStoreClient(settings=replace(self.settings, autostart=False)) as client:
                status = client.status()
                heard = client.request("GET", routes.HEALTH, headers={}, parameters={}, body=None)
                with closing(heard):
                    return Answer(status, _ahead(heard.headers.get("Date")))
        except errors.OpStoreError as error:
            return error


def _ahead(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None

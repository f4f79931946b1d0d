"""Yanked versions that a reference selected."""

from typing import Annotated

from msgspec import Meta

from opstore_daemon.protocol.records.base import NameText, NumberText, Reason, Record


class PickedYanked(Record, frozen=True, kw_only=True):
    """A yanked version that a reference selected, and why it was yanked: the client warns of it."""

    op: NameText
    version: NumberText
    reason: Reason

    def __str__(self) -> str:
        return f"{self.op}@{self.version} is yanked: {self.reason}"


Picked = Annotated[tuple[PickedYanked, ...], Meta(max_length=10000)]

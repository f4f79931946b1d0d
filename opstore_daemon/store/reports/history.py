"""The history of the store: what each entry of the journal changed, newest first."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Executable, null, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import (
    Bisection,
    Description,
    Journal,
    Label,
    Level,
    Link,
    Message,
    Op,
    Pipeline,
    Removal,
    Run,
    RunVersion,
    Tag,
    Version,
    Yank,
    aliased,
)
from opstore_daemon.protocol.names import Name
from opstore_daemon.protocol.records.runs import command_text
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog.version_rows import BLOCK
from opstore_daemon.store.reports import journal_filter
from opstore_daemon.store.snapshot import Snapshot

COMMAND = 1000  # characters of a command that an entry has
EntryFields = Mapping[str, Any]  # the fields of an Entry except position, time and author


class Subject(NamedTuple):
    """The op or version that an entry is about."""

    op: str
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal (protocol.records.JournalEntry).

    `action` is one of ACTIONS. Of a link, the first subject is the upstream version, the second one the downstream; of
    a run, the subjects are its set; of a bisection, the version that broke the pipeline. `text` is what the user wrote
    with the entry (a message, a description, evidence, a reason), the level or tags, or the command and the reason of a
    run.
    `labels` are those that were set; None for one that was removed.
    """

    position: int
    at: datetime
    author: str | None
    action: str
    subjects: tuple[Subject, ...] = ()
    pipeline: str | None = None
    text: str | None = None
    labels: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The text and the labels: `KEY=VALUE` if one was set, `-KEY` if it was removed."""
        labels = (f"-{key}" if value is None else f"{key}={value}" for key, value in self.labels.items())
        return "; ".join(part for part in (self.text, ", ".join(labels)) if part)


ACTIONS = (
    "registered",
    "stored",
    "edited",
    "described",
    "valid for",
    "invalid for",
    "revoked for",
    "level",
    "tagged",
    "untagged",
    "yanked",
    "unyanked",
    "pipeline registered",
    "pipeline removed",
    "run passed",
    "run failed",
    "run unknown",
    "bisected",
    "removed",
    "op removed",
    "op created again",
)


def entries(snapshot: Snapshot, below: int | None, limit: int, name: Name | None = None) -> list[Entry]:
    """Return entries of the journal, newest first: at most `limit` entries below a position.

    `name`: only entries about the op or the pipeline of that name. Raises OpNotFound if there never was one.
    """
    last = snapshot.last_position()
    highest = last if below is None else min(below - 1, last)
    if name is None:
        rows = _entries(highest=highest, limit=limit).run(snapshot.connection).all()
    else:
        rows = journal_filter.about(snapshot, name, highest=highest, limit=limit)
    return _to_entries(snapshot, rows)


def at(snapshot: Snapshot, positions: Sequence[int]) -> list[Entry]:
    """Return the entries at these positions, in that order."""
    rows: list[Any] = []
    for start in range(0, len(positions), BLOCK):
        rows += _entries_at(positions=positions[start : start + BLOCK]).run(snapshot.connection).all()
    by_position = {entry.position: entry for entry in _to_entries(snapshot, rows)}
    return [by_position[position] for position in positions]


def _to_entries(snapshot: Snapshot, rows: Sequence[Any]) -> list[Entry]:
    """Return the entries of rows with position, time, kind and author."""
    fields: dict[int, dict[str, Any]] = {}
    for start in range(0, len(rows), BLOCK):  # SQLite limits the parameters of a statement
        for position, more in _fields(snapshot, [position for position, *_ in rows[start : start + BLOCK]]):
            fields.setdefault(position, {}).update(more)
    return [
        Entry(position, journal.to_datetime(at), author, **fields.get(position, {"action": kind}))
        for position, at, kind, author in rows
    ]


@prepared
def _entries(*, highest: int, limit: int) -> Executable:
    query = select(Journal.position, Journal.at, Journal.kind, Journal.author).where(Journal.position <= highest)
    return query.order_by(Journal.position.desc()).limit(limit)


@prepared
def _entries_at(*, positions: Sequence[int]) -> Executable:
    query = select(Journal.position, Journal.at, Journal.kind, Journal.author)
    return query.where(Journal.position.in_(positions))


_UP, _DOWN, _UP_OP, _DOWN_OP = aliased(Version), aliased(Version), aliased(Op), aliased(Op)


def _fields(snapshot: Snapshot, positions: Sequence[int]) -> Iterator[tuple[int, EntryFields]]:
    """Yield positions with fields of their entries.

    A position may occur more than once, with the most specific fields last: a push with labels is one entry, `stored`.
    """
    for query, describe in _KINDS:
        for position, fields in describe(query(positions=positions).run(snapshot.connection)):
            if position in positions:
                yield position, fields


def _describe_labels(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    labels_by_position: dict[int, tuple[Subject, dict[str, str | None]]] = {}
    for position, key, value, op, *number in rows:
        labels = labels_by_position.setdefault(position, (_subject(op, number), {}))[1]
        labels[key] = labels.get(key) if value is None else value  # a replaced value ends where the new one begins
    for position, (subject, labels) in labels_by_position.items():
        yield position, {"action": "edited", "subjects": (subject,), "labels": dict(sorted(labels.items()))}


def _describe_messages(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, text, op, *number in rows:
        yield position, {"action": "edited", "subjects": (_subject(op, number),), "text": text}


def _describe_descriptions(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, text, op in rows:
        yield position, {"action": "described", "subjects": (Subject(op),), "text": text}


def _describe_registered(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, message, is_stored, op, *number in rows:
        action = "stored" if is_stored else "registered"
        yield position, {"action": action, "subjects": (_subject(op, number),), "text": message}


def _describe_stored(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, message, op, *number in rows:
        yield position, {"action": "stored", "subjects": (_subject(op, number),), "text": message}


def _describe_links(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, state, evidence, up, major, minor, patch, down, *number in rows:
        subjects = (_subject(up, (major, minor, patch)), _subject(down, number))
        yield position, {"action": f"{state} for", "subjects": subjects, "text": evidence}


def _describe_levels(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, compat, op in rows:
        yield position, {"action": "level", "subjects": (Subject(op),), "text": compat}


def _describe_tags(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    moves_by_position: dict[int, list[tuple[str, Subject]]] = {}
    for position, tag, op, *number in rows:
        moves_by_position.setdefault(position, []).append((tag, _subject(op, number)))
    for position, moves in moves_by_position.items():
        action = "tagged" if any(subject.number for _, subject in moves) else "untagged"
        tags = ", ".join(dict.fromkeys(tag for tag, _ in moves))
        subjects = tuple(dict.fromkeys(subject for _, subject in moves))
        yield position, {"action": action, "subjects": subjects, "text": tags}


def _describe_yanks(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, yanked, reason, op, *number in rows:
        action = "yanked" if yanked else "unyanked"
        yield position, {"action": action, "subjects": (_subject(op, number),), "text": reason}


def _describe_pipelines(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, until, name in rows:
        yield position, {"action": "pipeline registered", "pipeline": name}
        if until is not None:
            yield until, {"action": "pipeline removed", "pipeline": name}


def _describe_runs(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for (position, pipeline, command, result, reason), versions in groupby(rows, key=lambda row: tuple(row[:5])):
        subjects = tuple(_subject(version[5], version[6:]) for version in versions)
        text = f"{command_text(json.loads(command), COMMAND)}: {reason}"
        yield position, {"action": f"run {result}", "subjects": subjects, "pipeline": pipeline, "text": text}


def _describe_bisections(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, pipeline, command, first_bad, op, *number in rows:
        text = f"{command_text(json.loads(command), COMMAND)}: broken by position {first_bad}"
        subjects = (_subject(op, number),)
        yield position, {"action": "bisected", "subjects": subjects, "pipeline": pipeline, "text": text}


def _describe_removals(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, removal, reason, op, *number in rows:
        subject = _subject(op, number)
        action = "removed" if subject.number else "op created again" if removal is None else "op removed"
        yield position, {"action": action, "subjects": (subject,), "text": reason}


def _subject(op: str, number: Sequence[int | None]) -> Subject:
    major, minor, patch = number
    if major is None or minor is None or patch is None:
        return Subject(op)
    return Subject(op, str(VersionNumber(major, minor, patch)))


_NUMBER = (Version.major_number, Version.minor_number, Version.patch_number)


@prepared
def _labels(*, positions: Sequence[int]) -> Executable:
    """Select the labels that begin at these positions, and without a value those that end there."""

    def labels(position: Any, value: Any) -> Any:
        query = select(position, Label.key, value, Op.name, *_NUMBER)
        query = query.join(Version, Version.id == Label.version_id).join(Op, Op.id == Version.op_id)
        return query.where(position.in_(positions))

    return labels(Label.position, Label.value).union_all(labels(Label.until, null()))  # type: ignore[no-any-return]


@prepared
def _messages(*, positions: Sequence[int]) -> Executable:
    query = select(Message.position, Message.text, Op.name, *_NUMBER)
    query = query.join(Version, Version.id == Message.version_id).join(Op, Op.id == Version.op_id)
    return query.where(Message.position.in_(positions))


@prepared
def _descriptions(*, positions: Sequence[int]) -> Executable:
    query = select(Description.position, Description.text, Op.name).join(Op, Op.id == Description.op_id)
    return query.where(Description.position.in_(positions))


@prepared
def _registered(*, positions: Sequence[int]) -> Executable:
    # A version whose bytes came with a later entry is `registered` here; `_stored` finds the later entry.
    is_stored = Version.stored_position == Version.position
    query = select(Version.position, Version.message, is_stored, Op.name, *_NUMBER).join(Op, Op.id == Version.op_id)
    return query.where(Version.position.in_(positions))


@prepared
def _stored(*, positions: Sequence[int]) -> Executable:
    query = select(Version.stored_position, Version.stored_message, Op.name, *_NUMBER)
    query = query.join(Op, Op.id == Version.op_id)
    return query.where(Version.stored_position.in_(positions), Version.stored_position != Version.position)


@prepared
def _links(*, positions: Sequence[int]) -> Executable:
    up = (_UP.major_number, _UP.minor_number, _UP.patch_number)
    down = (_DOWN.major_number, _DOWN.minor_number, _DOWN.patch_number)
    query = select(Link.position, Link.state, Link.evidence, _UP_OP.name, *up, _DOWN_OP.name, *down)
    query = query.join(_UP_OP, _UP_OP.id == Link.upstream_id).join(_UP, _UP.id == Link.upstream_version_id)
    query = query.join(_DOWN_OP, _DOWN_OP.id == Link.downstream_id)
    return query.outerjoin(_DOWN, _DOWN.id == Link.downstream_version_id).where(Link.position.in_(positions))


@prepared
def _levels(*, positions: Sequence[int]) -> Executable:
    query = select(Level.position, Level.compat, Op.name).join(Op, Op.id == Level.op_id)
    return query.where(Level.position.in_(positions))


@prepared
def _tags(*, positions: Sequence[int]) -> Executable:
    query = select(Tag.position, Tag.name, Op.name, *_NUMBER).join(Op, Op.id == Tag.op_id)
    query = query.outerjoin(Version, Version.id == Tag.version_id)
    return query.where(Tag.position.in_(positions)).order_by(Tag.position, Op.name, Tag.name)


@prepared
def _yanks(*, positions: Sequence[int]) -> Executable:
    query = select(Yank.position, Yank.yanked, Yank.reason, Op.name, *_NUMBER)
    query = query.join(Version, Version.id == Yank.version_id).join(Op, Op.id == Version.op_id)
    return query.where(Yank.position.in_(positions))


@prepared
def _pipelines(*, positions: Sequence[int]) -> Executable:
    query = select(Pipeline.position, Pipeline.until, Pipeline.name)
    return query.where(Pipeline.position.in_(positions) | Pipeline.until.in_(positions))


@prepared
def _runs(*, positions: Sequence[int]) -> Executable:
    query = select(Run.position, Run.pipeline, Run.command, Run.result, Run.reason, Op.name, *_NUMBER)
    query = query.join(RunVersion, RunVersion.run_position == Run.position).join(Op, Op.id == RunVersion.op_id)
    query = query.join(Version, Version.id == RunVersion.version_id).where(Run.position.in_(positions))
    return query.order_by(Run.position, RunVersion.place)


@prepared
def _bisections(*, positions: Sequence[int]) -> Executable:
    query = select(Bisection.position, Bisection.pipeline, Bisection.command, Bisection.first_bad, Op.name, *_NUMBER)
    query = query.join(Op, Op.id == Bisection.op_id).outerjoin(Version, Version.id == Bisection.version_id)
    return query.where(Bisection.position.in_(positions))


@prepared
def _removals(*, positions: Sequence[int]) -> Executable:
    # An entry without a row of its own ends the removal of an op. Not by `until`: no index has it.
    query = select(Journal.position, Removal.position, Removal.reason, Op.name, *_NUMBER).select_from(Journal)
    query = query.join(Op, Op.id == Journal.op_id).outerjoin(Removal, Removal.position == Journal.position)
    query = query.outerjoin(Version, Version.id == Removal.version_id)
    return query.where(Journal.position.in_(positions), Journal.kind == "removal")


_KINDS = (
    (_labels, _describe_labels),
    (_messages, _describe_messages),
    (_descriptions, _describe_descriptions),
    (_registered, _describe_registered),
    (_stored, _describe_stored),
    (_links, _describe_links),
    (_levels, _describe_levels),
    (_tags, _describe_tags),
    (_yanks, _describe_yanks),
    (_pipelines, _describe_pipelines),
    (_runs, _describe_runs),
    (_bisections, _describe_bisections),
    (_removals, _describe_removals),
)

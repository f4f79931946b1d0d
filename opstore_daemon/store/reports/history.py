"""The journal as people read it: what each entry did, newest first."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Executable, select
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Journal, Label, Level, Link, Op, Pipeline, Tag, Version, Yank
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.snapshot import Snapshot

EntryFields = Mapping[str, Any]  # the fields of an Entry, but for where and when


class Subject(NamedTuple):
    """What an entry is about: an op, or one of its versions."""

    op: str
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal. `what` is a word for what it did (WHAT), `subjects` what it is about, `pipeline` which
    pipeline, and `said` what users wrote with it, or the names that it gave.
    """

    position: int
    at: datetime
    what: str
    subjects: tuple[Subject, ...] = ()
    pipeline: str | None = None
    said: str | None = None


# What entries did; of links, the first subject is the upstream version.
WHAT = (
    "registered",
    "stored",
    "labelled",
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
)


def entries(snapshot: Snapshot, below: int | None, limit: int) -> list[Entry]:
    """Return entries of the journal, newest first: at most `limit` entries below a position."""
    last = snapshot.last_position()
    highest = last if below is None else min(below - 1, last)
    found = snapshot.connection.execute(_ENTRIES.where(Journal.position <= highest).limit(limit)).all()
    positions = [position for position, *_ in found]
    told = dict(_told(snapshot, positions))
    return [
        Entry(position=position, at=journal.moment(at), **told.get(position, {"what": kind}))
        for position, at, kind in found
    ]


_ENTRIES = select(Journal.position, Journal.at, Journal.kind).order_by(Journal.position.desc())
_UP, _DOWN, _UP_OP, _DOWN_OP = aliased(Version), aliased(Version), aliased(Op), aliased(Op)


def _told(snapshot: Snapshot, positions: Sequence[int]) -> Iterator[tuple[int, EntryFields]]:
    """What each entry did, by its position; a kind after the other, so that what tells more comes later."""
    for query, tell in _KINDS:
        for position, told in tell(query(positions=positions).run(snapshot.connection)):
            if position in positions:
                yield position, told


def _tell_labels(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    found: dict[int, tuple[Subject, dict[str, str]]] = {}
    for position, key, value, op, *number in rows:
        found.setdefault(position, (_subject(op, number), {}))[1][key] = value
    for position, (subject, noted) in found.items():
        said = json.dumps(noted, ensure_ascii=False)
        yield position, {"what": "labelled", "subjects": (subject,), "said": said}


def _tell_registered(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, message, at_once, op, *number in rows:
        what = "stored" if at_once else "registered"
        yield position, {"what": what, "subjects": (_subject(op, number),), "said": message}


def _tell_stored(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, message, op, *number in rows:
        yield position, {"what": "stored", "subjects": (_subject(op, number),), "said": message}


def _tell_links(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, state, evidence, up, major, minor, patch, down, *number in rows:
        subjects = (_subject(up, (major, minor, patch)), _subject(down, number))
        yield position, {"what": f"{state} for", "subjects": subjects, "said": evidence}


def _tell_levels(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, compat, op in rows:
        yield position, {"what": "level", "subjects": (Subject(op),), "said": compat}


def _tell_tags(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    moved: dict[int, list[tuple[str, Subject]]] = {}
    for position, tag, op, *number in rows:
        moved.setdefault(position, []).append((tag, _subject(op, number)))
    for position, moves in moved.items():
        what = "tagged" if any(subject.number for _, subject in moves) else "untagged"
        names = ", ".join(dict.fromkeys(tag for tag, _ in moves))
        subjects = tuple(dict.fromkeys(subject for _, subject in moves))
        yield position, {"what": what, "subjects": subjects, "said": names}


def _tell_yanks(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, yanked, reason, op, *number in rows:
        what = "yanked" if yanked else "unyanked"
        yield position, {"what": what, "subjects": (_subject(op, number),), "said": reason}


def _tell_pipelines(rows: Iterable[Any]) -> Iterator[tuple[int, EntryFields]]:
    for position, until, name in rows:
        yield position, {"what": "pipeline registered", "pipeline": name}
        if until is not None:
            yield until, {"what": "pipeline removed", "pipeline": name}


def _subject(op: str, number: Sequence[int | None]) -> Subject:
    major, minor, patch = number
    if major is None or minor is None or patch is None:
        return Subject(op)
    return Subject(op, str(VersionNumber(major, minor, patch)))


_NUMBER = (Version.major_number, Version.minor_number, Version.patch_number)


@prepared
def _labels(*, positions: Sequence[int]) -> Executable:
    told = select(Label.position, Label.key, Label.value, Op.name, *_NUMBER)
    told = told.join(Version, Version.id == Label.version_id).join(Op, Op.id == Version.op_id)
    return told.where(Label.position.in_(positions)).order_by(Label.position, Label.key)


@prepared
def _registered(*, positions: Sequence[int]) -> Executable:
    # Stored by the same entry, or by a later one, which tells of itself.
    at_once = Version.stored_position == Version.position
    told = select(Version.position, Version.message, at_once, Op.name, *_NUMBER).join(Op, Op.id == Version.op_id)
    return told.where(Version.position.in_(positions))


@prepared
def _stored(*, positions: Sequence[int]) -> Executable:
    told = select(Version.stored_position, Version.stored_message, Op.name, *_NUMBER)
    told = told.join(Op, Op.id == Version.op_id)
    return told.where(Version.stored_position.in_(positions), Version.stored_position != Version.position)


@prepared
def _links(*, positions: Sequence[int]) -> Executable:
    up = (_UP.major_number, _UP.minor_number, _UP.patch_number)
    down = (_DOWN.major_number, _DOWN.minor_number, _DOWN.patch_number)
    told = select(Link.position, Link.state, Link.evidence, _UP_OP.name, *up, _DOWN_OP.name, *down)
    told = told.join(_UP_OP, _UP_OP.id == Link.upstream_id).join(_UP, _UP.id == Link.upstream_version_id)
    told = told.join(_DOWN_OP, _DOWN_OP.id == Link.downstream_id)
    return told.outerjoin(_DOWN, _DOWN.id == Link.downstream_version_id).where(Link.position.in_(positions))


@prepared
def _levels(*, positions: Sequence[int]) -> Executable:
    told = select(Level.position, Level.compat, Op.name).join(Op, Op.id == Level.op_id)
    return told.where(Level.position.in_(positions))


@prepared
def _tags(*, positions: Sequence[int]) -> Executable:
    told = select(Tag.position, Tag.name, Op.name, *_NUMBER).join(Op, Op.id == Tag.op_id)
    told = told.outerjoin(Version, Version.id == Tag.version_id)
    return told.where(Tag.position.in_(positions)).order_by(Tag.position, Op.name, Tag.name)


@prepared
def _yanks(*, positions: Sequence[int]) -> Executable:
    told = select(Yank.position, Yank.yanked, Yank.reason, Op.name, *_NUMBER)
    told = told.join(Version, Version.id == Yank.version_id).join(Op, Op.id == Version.op_id)
    return told.where(Yank.position.in_(positions))


@prepared
def _pipelines(*, positions: Sequence[int]) -> Executable:
    told = select(Pipeline.position, Pipeline.until, Pipeline.name)
    return told.where(Pipeline.position.in_(positions) | Pipeline.until.in_(positions))


_KINDS = (
    (_labels, _tell_labels),
    (_registered, _tell_registered),
    (_stored, _tell_stored),
    (_links, _tell_links),
    (_levels, _tell_levels),
    (_tags, _tell_tags),
    (_yanks, _tell_yanks),
    (_pipelines, _tell_pipelines),
)

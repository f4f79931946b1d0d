"""Read and write opstore.lock, a resolution with digests. The same resolution gives the same bytes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from opstore_cli.files.bounded_read import Unreadable, read_bytes
from opstore_cli.files.private import replace_file
from opstore_cli.files.targets import regular_target
from opstore_cli.files.text import NotText, decode, parse_toml
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.locks import check_graph
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Lock, LockedVersion, VersionRecord
from opstore_daemon.protocol.records.wire import parse
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import Version, VersionNumber

FORMAT = 2
MAX_LOCK = 2 * 1024 * 1024  # bytes: 1,000 versions and 10,000 edges, which came to the daemon in 1 MiB of JSON
MAX_SIZE = 2**63 - 1  # bytes of a version
_BEGIN = "# Written by opstore resolve --lock"
_HEAD = f"{_BEGIN}. It pins a version of each op of the pipeline; do not edit it.\n"
_HEAD_SIZE = 4096  # bytes in which _BEGIN is looked for
_STREAM_HINT = "use --lock -"
_AGAIN = "write it again with opstore resolve --lock"
_CONFLICT = re.compile(r"^(?:<{7,}|={7,}|>{7,}|\|{7,})(?:[ \t][^\n]*)?\r?$", re.MULTILINE)


class PinnedVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version in a lock file; `digest` and `size` (bytes) are None if it is only registered."""

    op: OpName
    version: str
    subversions: str
    digest: Digest | None = None
    size: int | None = None
    format: str | None = None
    filename: str | None = None

    def __post_init__(self) -> None:
        if str(VersionNumber.parse(self.version)) != self.version:
            raise ValueError(f"{self.version!r:.100} is not a version number")
        if str(Version.parse(self.subversions)) != self.subversions:
            raise ValueError(f"{self.subversions!r:.250} are not subversions")
        if (self.digest is None) != (self.size is None):
            present, missing = ("size", "digest") if self.digest is None else ("digest", "size")
            raise ValueError(f"the version of {self.op} has a {present} but no {missing}")
        if self.size is not None and not 0 <= self.size <= MAX_SIZE:
            raise ValueError(f"the version of {self.op} has a size that is not between 0 and 2^63-1")

    @property
    def reference(self) -> Reference:
        """The reference that selects exactly this version, even if it is yanked."""
        return Reference(self.op, Version.parse(self.subversions), bare=False)


@dataclass(frozen=True, slots=True)
class LockFile:
    """The content of a lock file."""

    pipeline: PipelineName
    edges: tuple[tuple[str, str], ...]
    versions: tuple[PinnedVersion, ...]

    def record(self) -> Lock:
        """Return the record for the verbs of the client."""
        versions = (
            LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest, size=each.size)
            for each in self.versions
        )
        return Lock(edges=self.edges, versions=tuple(versions))

    def references(self) -> set[Reference]:
        """Return the references that select the versions."""
        return {each.reference for each in self.versions}

    def other_numbers(self, numbers: Mapping[str, str | None]) -> list[str]:
        """Return a sentence for each version whose number, by op, is not that of the lock.

        A version number belongs to one store, the subversions name the same version in all of them.
        """
        return [
            f"{each.op}@{each.version} of the lock is {each.op}@{numbers[each.op]} in this store"
            for each in self.versions
            if numbers.get(each.op, each.version) != each.version
        ]


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    pipeline: PipelineName
    edges: tuple[tuple[OpName, OpName], ...]
    version: tuple[PinnedVersion, ...]
    ops: tuple[OpName, ...] | None = None


def of_versions(pipeline: str, edges: Sequence[tuple[str, str]], versions: Sequence[VersionRecord]) -> LockFile:
    """Return the lock of these versions, which are in the order of the data. Raises InvalidName."""
    pinned = [
        PinnedVersion(
            op=OpName.parse(each.op),
            version=each.version,
            subversions=each.subversions,
            digest=None if each.digest is None else Digest.parse(each.digest),
            size=each.size,
            format=each.format,
            filename=each.filename,
        )
        for each in versions
    ]
    return LockFile(PipelineName.parse(pipeline), tuple(edges), tuple(pinned))


# --- writing --------------------------------------------------------------------------------------------------------


def check_target(path: Path, *, upgrade: bool = False) -> None:
    """Raise FileRefused, or OutputFailed, if no lock could be written to the path.

    `upgrade`: the lock there is read next, which says more about one that is not whole.
    """
    if upgrade:
        regular_target(path, stream_hint=_STREAM_HINT)
    else:
        _target(path)


def _target(path: Path) -> tuple[Path, bytes | None]:
    """Return the file that a write to the path creates or replaces, and what it has now: nothing or a lock."""
    target = regular_target(path, stream_hint=_STREAM_HINT)
    refused = errors.FileRefused(path=str(path), reason="it is not a lock, so it is not replaced; choose another path")
    with errors.translated_writes(str(path), to=errors.FileRefused, path=str(path)):
        try:
            data = read_bytes(target, MAX_LOCK)
        except FileNotFoundError:
            return target, None
        except Unreadable:  # it has more bytes than a lock
            raise refused from None
    if not _is_replaceable(data):
        raise refused
    return target, data


def _is_replaceable(data: bytes) -> bool:
    """Return whether the bytes are nothing, a lock, or begin like one that was damaged or is of another format."""
    if not data.strip(b"\0 \t\r\n"):
        return True
    # Whatever an editor or a shell did to it: a byte order mark, UTF-16, the markers of a merge conflict.
    head = data[:_HEAD_SIZE].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").decode("latin-1")
    for line in head.splitlines():
        if line.startswith(_BEGIN):
            return True
        if line.strip() and not line.startswith("#") and _CONFLICT.fullmatch(line) is None:
            break
    try:
        parse_text(data)
    except (ValueError, errors.OpStoreError):
        return False
    return True


def other_names(path: Path) -> int:
    """Return how many other names (hard links) the file at the path has, which keep its content after a write."""
    try:
        return path.stat().st_nlink - 1
    except OSError:
        return 0


def to_text(lock: LockFile) -> str:
    """Return the text of the lock file; raises TooLarge if it would not be read again."""
    import tomli_w

    content: dict[str, Any] = {"format": FORMAT, "pipeline": lock.pipeline, "edges": [list(e) for e in lock.edges]}
    ops = [each.op for each in lock.versions]
    if set(ops) != _implied_ops(lock.edges, ops):
        content["ops"] = ops
    # A table for each version, however short it is, so that a merge of two locks is one of whole lines.
    tables = [tomli_w.dumps(_without_none(msgspec.structs.asdict(each))) for each in lock.versions]
    text = "\n[[version]]\n".join([_HEAD + tomli_w.dumps(content), *tables])
    if len(text) > MAX_LOCK:
        raise errors.TooLarge(what="the lock", size=len(text), limit=MAX_LOCK)
    return text


def write(path: Path, lock: LockFile) -> bool:
    """Write the file atomically, where its symbolic links lead; return whether its content changed.

    An existing file keeps its mode. Raises FileRefused for anything but a lock or an empty file, TooLarge and
    OutputFailed.
    """
    data = to_text(lock).encode()
    target, current = _target(path)
    if current == data:
        return False
    with errors.translated(OSError, to=errors.OutputFailed, path=str(path)):
        replace_file(target, data)
    return True


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def _implied_ops(edges: Sequence[tuple[str, str]], ops: Sequence[str]) -> set[str]:
    """Return the ops of a lock without the key `ops`: those of its edges, or one op."""
    return {op for edge in edges for op in edge} if edges else set(ops[:1])


# --- reading --------------------------------------------------------------------------------------------------------


def read(path: Path) -> LockFile:
    """Return the content of the file, all of it checked; raises FileRefused."""
    try:
        return parse_text(read_bytes(path, MAX_LOCK))
    except FileNotFoundError:
        raise errors.FileRefused(path=str(path), reason="there is no such lock file") from None
    except OSError as error:
        raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None
    except (ValueError, RecursionError, errors.OpStoreError) as error:
        raise errors.FileRefused(path=str(path), reason=str(error)[:400]) from None


def parse_text(data: bytes) -> LockFile:
    """Return the content of a lock file; raises ValueError or OpStoreError, with what to do."""
    try:
        text = decode(data)
    except NotText as error:
        raise ValueError(f"{error}; {_AGAIN}") from None
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        raise ValueError(f"it contains a merge conflict (line {line}): take one side of it, or {_AGAIN}")
    if not text.strip():
        raise ValueError(f"it is empty: {_AGAIN}")
    try:
        table = parse_toml(text)
        found = table.get("format")
        if type(found) is not int or found != FORMAT:
            raise ValueError("it names no format" if found is None else f"its format is {_shown(found)}")
        content = msgspec.convert(table, _Content, dec_hook=parse)
        _check(content)
    except (ValueError, RecursionError, errors.OpStoreError) as error:
        raise ValueError(f"it is not a lock of format {FORMAT}: {str(error)[:300]}; {_AGAIN}") from None
    return LockFile(content.pipeline, content.edges, content.version)


def _shown(value: object) -> str:
    # Python refuses to write a number of more than 4,300 digits, which TOML may have in hex digits.
    return f"{value!r:.20}" if not isinstance(value, int) or abs(value) <= MAX_SIZE else "a large number"


def _check(content: _Content) -> None:
    ops = [each.op for each in content.version]
    check_graph(content.edges, ops)
    if not ops:
        raise ValueError("it has no versions")
    wanted = _implied_ops(content.edges, ops) if content.ops is None else set(content.ops)
    for op in sorted(set(ops) ^ wanted):
        there = "a version of" if op in ops else "no version of"
        raise ValueError(f"it has {there} {op}, which is {'not ' if op in ops else ''}an op of its edges")

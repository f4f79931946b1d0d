"""Read and write opstore.lock, a resolution with digests. The same resolution gives the same bytes."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from opstore_cli.files.private import write_atomically
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Lock, LockedVersion, VersionRecord
from opstore_daemon.protocol.records.wire import parse
from opstore_daemon.protocol.versions import Version, VersionNumber

FORMAT = 2
MAX_LOCK = 16 * 1024 * 1024  # bytes
_HEAD = "# Written by opstore resolve --lock. It pins a version of each op of the pipeline; do not edit it.\n"


class PinnedVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version in a lock file; `digest` and `size` (bytes) are None if it is only registered."""

    op: OpName
    version: str
    subversions: str
    digest: Digest | None = None
    size: int | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        VersionNumber.parse(self.version)
        Version.parse(self.subversions)

    @property
    def reference(self) -> str:
        """The reference that selects exactly this version, even if it is yanked."""
        return f"{self.op}@{self.subversions}"


@dataclass(frozen=True, slots=True)
class LockFile:
    """The content of a lock file."""

    pipeline: PipelineName
    edges: tuple[tuple[str, str], ...]
    versions: tuple[PinnedVersion, ...]

    def record(self) -> Lock:
        """Return the record that the daemon checks."""
        versions = tuple(
            LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest) for each in self.versions
        )
        return Lock(edges=self.edges, versions=versions)


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    pipeline: PipelineName
    edges: tuple[tuple[str, str], ...]
    version: tuple[PinnedVersion, ...]


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
        )
        for each in versions
    ]
    return LockFile(PipelineName.parse(pipeline), tuple(edges), tuple(pinned))


def write(path: Path, lock: LockFile) -> bool:
    """Write the file atomically; return whether its content changed. Raises OutputFailed."""
    import tomli_w

    versions = [_without_none(msgspec.structs.asdict(each)) for each in lock.versions]
    content = {"format": FORMAT, "pipeline": lock.pipeline, "edges": [list(e) for e in lock.edges], "version": versions}
    data = (_HEAD + tomli_w.dumps(content)).encode()
    with errors.translated(OSError, to=errors.OutputFailed, path=str(path)):
        if path.is_file() and path.read_bytes() == data:
            return False
        write_atomically(path, data, mode=0o666)
    return True


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def read(path: Path) -> LockFile:
    """Return the content of the file; raises FileRefused."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_LOCK).decode()
        table = tomllib.loads(text)
        if table.get("format") != FORMAT:
            raise ValueError("write it again with opstore resolve --lock")
        content = msgspec.convert(table, _Content, dec_hook=parse)
    except OSError as error:
        raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None
    except (ValueError, RecursionError, errors.OpStoreError) as error:
        reason = f"it is not a lock of format {FORMAT}: {str(error)[:300]}"
        raise errors.FileRefused(path=str(path), reason=reason) from None
    return LockFile(content.pipeline, content.edges, content.version)

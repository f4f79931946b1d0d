"""Add rows to a verdict: the libraries of its versions that differ from those of an environment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, Validation, VerdictWord, VersionRecord, combine

if TYPE_CHECKING:
    from opstore_cli.objects.environment import Environment, LibraryDifference

ENVIRONMENT = OpVersion(op="environment", version=None)  # the downstream end of the rows
Show = Callable[[str, str], VersionRecord]


def load(environment: bool | Path | str) -> "Environment | None":
    """Return this interpreter's environment for True, that of the file at a path, and None for False.

    Raises FileRefused.
    """
    if environment is False:
        return None
    if environment is True:
        from opstore_cli.objects.environment import installed

        return installed()
    from opstore_cli.objects.environment_file import read

    return read(Path(environment))


def compare(found: Validation, environment: "Environment", show: Show) -> Validation:
    """Return the verdict with a row for each difference; `show` returns the record of an op's version.

    A warning is a row that is valid. A difference that is not makes the verdict invalid or unknown, as an edge does.
    """
    rows: list[EdgeVerdict] = []
    uncompared: list[OpVersion] = []
    for version in found.versions:
        if version.version is None:
            continue  # an edge says so
        record = show(version.op, version.version)
        rows += _rows(version, record, environment)
        if not record.libraries and not _needs_none(record):
            uncompared.append(version)
    verdict = combine((found.verdict, *(row.verdict for row in rows)))
    return msgspec.structs.replace(found, verdict=verdict, edges=(*found.edges, *rows), uncompared=tuple(uncompared))


def _rows(version: OpVersion, record: VersionRecord, environment: "Environment") -> Iterator[EdgeVerdict]:
    from opstore_cli.objects.environment import CLASS_FORMATS, compare

    if not record.libraries and record.format in CLASS_FORMATS:
        reason = f"{version.op} {version.version} is a {record.format} file, and records no libraries"
        yield _row(version, "unknown", reason)
    for difference in compare(environment, record.format, record.libraries):
        verdict: VerdictWord = "valid" if difference.severity == "warning" else difference.severity
        yield _row(version, verdict, _reason(version, difference, environment.label))


def _row(version: OpVersion, verdict: VerdictWord, reason: str) -> EdgeVerdict:
    return EdgeVerdict(upstream=version, downstream=ENVIRONMENT, verdict=verdict, basis="environment", reason=reason)


def _reason(version: OpVersion, difference: "LibraryDifference", label: str) -> str:
    from opstore_cli.objects.libraries import PYTHON

    library = "Python" if difference.library == PYTHON else difference.library
    begin = "only a warning: " if difference.severity == "warning" else ""
    saved = f"{version.op} {version.version} was saved with {library} {difference.recorded}"
    return f"{begin}{saved}, and {label} {difference.detail}"


def _needs_none(record: VersionRecord) -> bool:
    """Return whether a load needs no library, or the version has no bytes to load."""
    from opstore_cli.objects.environment import CLASS_FORMATS, FILE_FORMATS

    is_known = record.format is not None and (record.format in FILE_FORMATS or record.format in CLASS_FORMATS)
    return record.digest is None or is_known

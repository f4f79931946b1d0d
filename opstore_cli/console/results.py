"""Output that several commands share: verdicts, edges, skipped versions and failed transfers."""

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from opstore_cli.output.document import Output
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import (
        EdgeVerdict,
        LinkRecord,
        Pushed,
        Record,
        Resolution,
        SkippedVersion,
        VersionRecord,
    )
    from opstore_daemon.protocol.references import Reference
    from opstore_daemon.protocol.times import AsOf

T = TypeVar("T")

EXIT_CODES = {"valid": 0, "invalid": 1, "unknown": 3}
VERDICTS = {"valid": "valid", "invalid": "invalid", "unknown": "not known to be valid"}

MOST_ROWS = 500  # of an unbounded list that a person reads, who may quit the pager at the first of them


def rows_to_read(out: Output, limit: int | None) -> int | None:
    """Return the number of rows to request: the limit, or for a person one row more than are shown.

    That row says that there are more.
    """
    return MOST_ROWS + 1 if limit is None and out.shows_tables else limit


def first_rows(out: Output, rows: "Sequence[T]", limit: int | None) -> "Sequence[T]":
    """Return the rows to show."""
    return rows if rows_to_read(out, limit) == limit else rows[:MOST_ROWS]


def note_more(out: Output, rows: "Sequence[object]", limit: int | None, command: str) -> None:
    """Say how to see more rows if there are more than are shown."""
    if len(first_rows(out, rows, limit)) < len(rows):
        out.tip(f"only the newest {MOST_ROWS} are shown; for more: opstore {command} --limit N")


def to_dict(record: "Record") -> dict[str, Any]:
    """Return the keys and values of the record, for a document with further keys."""
    from msgspec import UNSET

    found = {name: getattr(record, name) for name in record.__struct_fields__}
    return {name: value for name, value in found.items() if value is not UNSET}


def format_edge(edge: "EdgeVerdict") -> str:
    """Return `UP@N -> DOWN@N`."""
    upstream, downstream = edge.upstream, edge.downstream
    return f"{format_reference(upstream.op, upstream.version)} -> {format_reference(downstream.op, downstream.version)}"


def format_link(link: "LinkRecord") -> tuple[str, str, str]:
    """Return the upstream version, the downstream op or version, and the link as a sentence."""
    upstream = format_reference(link.upstream, link.upstream_version)
    downstream = format_reference(link.downstream, link.downstream_version or "any")
    target = f"any version of {link.downstream}" if link.downstream_version is None else downstream
    return upstream, downstream, f"{upstream} is {'valid' if link.valid else 'known not to be valid'} for {target}"


def note_links(out: Output, pushed: "Pushed") -> None:
    """Say which links a push or registration recorded, and which version's links count for the new one, too.

    A document has them already.
    """
    if out.json:
        return
    for link in pushed.links:
        upstream, downstream, sentence = format_link(link)
        kept = "" if link.valid else f": that stays, since only opstore link {upstream} {downstream} reverses it"
        out.note(f"{sentence}{kept}")
    if pushed.compatible_with is not None:
        new, linked = (format_reference(pushed.op, each) for each in (pushed.version, pushed.compatible_with))
        out.note(
            f"{new} counts as compatible with {linked}, so what {linked} is valid for counts for it too"
            f" (opstore op set {pushed.op} --compat exact ends that)"
        )


def report_no_resolution(out: Output, error: errors.NoResolution, document: Any, as_of: "AsOf | None" = None) -> int:
    """Report why a pipeline has, or had, no set of compatible versions, and return the exit code."""
    resolution: Resolution = error.resolution
    _about(error, as_of)
    if out.json:
        out.write_json(document)
        return error.exit_code
    for edge in resolution.conflict:
        out.note(f"{format_edge(edge)}: {edge.verdict}: {edge.reason}", always=True)
    for skipped in resolution.skipped:
        out.note(skipped.reason, always=True)
    note_unexplained(out, resolution)
    out.error(error)
    return error.exit_code


def note_skipped(out: Output, skipped: "Sequence[SkippedVersion]") -> None:
    """Note each newer version that was skipped, and why. With --json the document has them."""
    if not out.json:
        for version in skipped:
            out.note(f"skipped {format_reference(version.op, version.version)}: {version.reason}")


def warn_of_damage(out: Output, versions: "Iterable[VersionRecord]") -> None:
    """Warn of each version whose bytes were found to be damaged. With --json the document says so."""
    for version in versions:
        if version.damaged and not out.json:
            name = format_reference(version.op, version.version)
            out.warn(f"{name} can't be pulled: {version.damaged}, as fsck found")


def note_unexplained(out: Output, resolution: "Resolution") -> None:
    """Note that the daemon's limit was reached before all reasons were found. With --json the document says so."""
    if not out.json and not resolution.explained:
        missing = "the reasons of further skipped versions" if resolution.versions else "the smallest conflict"
        out.note(f"{missing} would take too much work to find", always=True)


def report_none_valid(
    out: Output,
    op: str,
    downstreams: "Iterable[Reference]",
    verdict: str,
    document: Any,
    as_of: "AsOf | None" = None,
) -> int:
    """Report that no version is, or was, valid for all downstreams, or known to be, and return the exit code.

    With --json the document says so.
    """
    if not out.json:
        return none_valid(out, op, downstreams, verdict, as_of)
    out.write_json(document)
    return EXIT_CODES["unknown" if verdict == "unknown" else "invalid"]


def none_valid(
    out: Output, op: str, downstreams: "Iterable[Reference]", verdict: str, as_of: "AsOf | None" = None
) -> int:
    """Write the error that no version is, or was, valid for all downstreams, and return the exit code.

    With --json nothing is written.
    """
    downstreams = list(downstreams)
    downstream = " and ".join(map(str, downstreams))
    if verdict == "unknown":
        error: errors.OpStoreError = errors.NothingKnown(op=op, downstream=downstream)
        ends = (f"{each}@VERSION" if each.bare else shlex.quote(str(each)) for each in downstreams)
        error.advice = f"when one is validated: {'; '.join(f'opstore link {op}@VERSION {end}' for end in ends)}"
    else:
        error = errors.NothingValid(op=op, downstream=downstream)
    error = _about(error, as_of)
    if not out.json:
        out.error(error)
    return error.exit_code


def _about(error: errors.OpStoreError, as_of: "AsOf | None") -> errors.OpStoreError:
    """Return the error; if it is about a past state, it names the time."""
    return error if as_of is None else error.at(as_of, as_of.with_words)


def report_failures(out: Output, ops: Sequence[str], outcomes: Sequence[object]) -> int:
    """Report which transfers failed and which were not started; return the exit code of the first failure.

    An outcome is a result, the error of a failed transfer, or None for one that was not started.
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, errors.OpStoreError)]
    reported = set()
    for error in failures:
        if error.text not in reported:  # an unreachable daemon fails all parallel transfers
            out.error(error)
        reported.add(error.text)
    not_started = [op for op, outcome in zip(ops, outcomes, strict=True) if outcome is None]
    if not_started:
        out.note(f"not started: {', '.join(not_started)}", always=True)
    return failures[0].exit_code if failures else 0


def note_counts(out: Output, counts: Iterable[tuple[int, str]], unchanged: int) -> None:
    """Note how many of each kind are new, and how many versions were there already."""
    new = ", ".join(_counted(count, noun) for count, noun in counts)
    out.note(f"new: {new}; unchanged: {_counted(unchanged, 'version')}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

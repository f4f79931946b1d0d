"""What several commands answer in the same words: verdicts, edges, and that nothing is left."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opstore_cli.output.cells import format_reference
from opstore_cli.output.document import Output
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import EdgeVerdict, LinkRecord, Record, Resolution, SkippedVersion

EXIT_CODES = {"valid": 0, "invalid": 1, "unknown": 3}
SAID = {"valid": "valid", "invalid": "invalid", "unknown": "not known to be valid"}


def keys_of(record: "Record") -> dict[str, Any]:
    """The keys and values of the record, for a document that has more of them."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def edge(found: "EdgeVerdict") -> str:
    """`UP@N -> DOWN@N`."""
    upstream, downstream = found.upstream, found.downstream
    return f"{format_reference(upstream.op, upstream.version)} -> {format_reference(downstream.op, downstream.version)}"


def link(found: "LinkRecord") -> tuple[str, str, str]:
    """Upstream version, downstream, and the link as a sentence."""
    upstream = format_reference(found.upstream, found.upstream_version)
    downstream = format_reference(found.downstream, found.downstream_version)
    return upstream, downstream, f"{upstream} is {'valid' if found.valid else 'not valid'} for {downstream}"


def no_set(out: Output, found: "Resolution", document: Any) -> int:
    """Says that a pipeline has no set of versions that are valid with one another, and why; returns the exit code."""
    kind = errors.NoSetKnown if found.verdict == "unknown" else errors.NoSet
    error = kind(pipeline=found.pipeline)
    if out.json:
        out.write_json(document)
        return error.exit_code
    for each in found.conflict:
        out.note(f"{edge(each)}: {each.verdict}: {each.reason}", always=True)
    for passed in found.skipped:
        out.note(passed.reason, always=True)
    out.error(error)
    return error.exit_code


def name_passed_over(out: Output, skipped: "Sequence[SkippedVersion]") -> None:
    """Says which newer versions were passed over, and why. With --json the document has it."""
    if not out.json:
        for passed in skipped:
            out.note(f"passed over: {format_reference(passed.op, passed.version)}: {passed.reason}")


def nothing_left(out: Output, op: str, downstream: str, verdict: str, document: Any) -> int:
    """Says that no version is valid, or that none is known to be; returns the exit code."""
    if verdict == "unknown":
        error: errors.OpStoreError = errors.NothingKnown(op=op, downstream=downstream)
    else:
        error = errors.NothingValid(op=op, downstream=downstream)
    if out.json:
        out.write_json(document)
    else:
        out.error(error)
    return error.exit_code


def failures(out: Output, ops: Sequence[str], ended: Sequence[object]) -> int:
    """Says which of several transfers failed, and which were not begun; returns the exit code of the first failure."""
    failed = [result for result in ended if isinstance(result, errors.OpStoreError)]
    told = set()
    for error in failed:
        if error.text not in told:  # that no daemon answers is no more true for four that found out at once
            out.error(error)
        told.add(error.text)
    left = [op for op, result in zip(ops, ended, strict=True) if result is None]
    if left:
        out.note(f"not tried after that: {', '.join(left)}", always=True)
    return failed[0].exit_code if failed else 0

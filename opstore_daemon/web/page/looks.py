"""How the page marks a verdict and the result of a run: by a sign, a text and a colour.

An invalid verdict has two looks: a link says that the versions do not work together, or nobody has validated them yet.
"""

from dataclasses import dataclass

from opstore_daemon.protocol.records import EdgeVerdict, Resolution, RunResult, Validation, VerdictWord
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.store.reports.overview import PipelineLine


@dataclass(frozen=True, slots=True)
class Look:
    """The look of a verdict; `name` is its class in style.css."""

    name: str
    sign: str
    text: str


VALID = Look("valid", "✓", "valid")
KNOWN_INVALID = Look("known-invalid", "✕", "known invalid")
NOT_VALIDATED = Look("not-validated", "!", "not validated")
UNKNOWN = Look("unknown", "?", "unknown")
INVALID = Look("known-invalid", "✕", "invalid")
RESULTS: dict[RunResult, Look] = {
    "passed": Look(VALID.name, VALID.sign, "passed"),
    "failed": Look(KNOWN_INVALID.name, KNOWN_INVALID.sign, "failed"),
    "unknown": Look(UNKNOWN.name, UNKNOWN.sign, "can't tell"),
}
LOOKS = (VALID, KNOWN_INVALID, NOT_VALIDATED, UNKNOWN)


def look(found: Verdict | EdgeVerdict | PipelineLine | Validation | Resolution) -> Look:
    """Return the look of a verdict over one edge or several; of several, that of the worst edge."""
    match found:
        case Verdict():
            return _look(found.word, found.basis == "known-invalid")
        case EdgeVerdict():
            return _look(found.verdict, found.basis == "known-invalid")
        case PipelineLine():
            return _look(found.verdict, found.known_invalid > 0)
        case Resolution(verdict="invalid", conflict=()):  # not for want of a link: an op has no version to choose
            return INVALID
        case Resolution():
            return _look(found.verdict, _any_known_invalid(found.conflict))
        case Validation():
            return _look(found.verdict, _any_known_invalid(found.edges))


def result_look(result: RunResult) -> Look:
    """Return the look of the result of a run."""
    return RESULTS[result]


def _look(word: VerdictWord, is_known: bool) -> Look:
    if word == "valid":
        return VALID
    if word == "unknown":
        return UNKNOWN
    return KNOWN_INVALID if is_known else NOT_VALIDATED


def _any_known_invalid(edges: tuple[EdgeVerdict, ...]) -> bool:
    return any(look(edge) == KNOWN_INVALID for edge in edges)

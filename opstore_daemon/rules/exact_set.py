"""Decide whether exactly these versions work together, by the newest run of them as a whole.

Pairs that were validated in different runs can make every edge of a set valid that never ran as a whole.
"""

from collections.abc import Sequence

from opstore_daemon.protocol.records import SET_VERDICTS, RunRecord, SetBasis, SetVerdict
from opstore_daemon.protocol.records.runs import outcome_text


def exact_set(run: RunRecord | None, missing: Sequence[str] = ()) -> SetVerdict:
    """Return the verdict on a set as a whole.

    `run` is the newest run of exactly this set that passed or failed, None if there is none. `missing` are the ops
    without a version: such a set can't run.
    """
    if missing:
        return _verdict("not-run", f"{missing[0]} has no version")
    if run is None:
        return _verdict("not-run", "no run says whether exactly these versions work together")
    return _verdict("run" if run.result == "passed" else "run-failed", outcome_text(run))


def _verdict(basis: SetBasis, reason: str) -> SetVerdict:
    return SetVerdict(verdict=SET_VERDICTS[basis], basis=basis, reason=reason)

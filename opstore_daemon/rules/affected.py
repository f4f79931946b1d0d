"""Find the ops that a version affects: those to retrain before they can run with it.

A downstream op is affected if the version is not valid for its latest version, or if one of its own upstream ops is
affected, because the version that replaces that upstream op's latest one does not exist yet.
"""

from collections.abc import Callable, Iterable

from opstore_daemon.rules.verdict import Verdict


def find_affected(
    op: str, downstreams: Callable[[str], Iterable[str]], verdict: Callable[[str], Verdict]
) -> list[tuple[str, Verdict]]:
    """Return the affected ops with the verdict that makes each affected, direct downstream ops first, then by level.

    Ops of one level are sorted by name. `downstreams` returns the ops directly downstream of one. `verdict` is called
    for the direct downstream ops of `op` only. The graph may have cycles: it is the union of several pipelines.
    """
    affected: dict[str, Verdict] = {}
    for direct in sorted(set(downstreams(op))):
        own_verdict = verdict(direct)
        if own_verdict.word != "valid":
            affected[direct] = own_verdict
    level = list(affected)
    while level:
        next_level: dict[str, Verdict] = {}
        for upstream in level:
            for downstream in sorted(set(downstreams(upstream))):
                if downstream != op and downstream not in affected:
                    reason = f"its upstream {upstream} is affected, and its replacement is not validated yet"
                    next_level.setdefault(downstream, Verdict("upstream-affected", reason))
        level = sorted(next_level)
        affected |= {downstream: next_level[downstream] for downstream in level}
    return list(affected.items())

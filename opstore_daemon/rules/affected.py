"""Which ops have to be retrained for a version: those that can't take it, and all that are downstream of one.

An op is affected by a version of an upstream op if the verdict for its latest version is not valid, or if one of its
own upstream ops is affected: what that one becomes is not known yet.
"""

from collections.abc import Callable, Iterable

from opstore_daemon.rules.verdict import Verdict


def affected(
    op: str, downstreams: Callable[[str], Iterable[str]], verdict: Callable[[str], Verdict]
) -> list[tuple[str, Verdict]]:
    """The affected ops, the direct ones first, then level by level, ties by name; with why each is.

    `downstreams` says which ops are directly downstream of one; `verdict` is asked for the direct ones of `op`.
    """
    found: dict[str, Verdict] = {}
    for direct in sorted(set(downstreams(op))):
        told = verdict(direct)
        if told.word != "valid":
            found[direct] = told
    level = list(found)
    while level:
        further: dict[str, Verdict] = {}
        for upstream in level:
            for downstream in sorted(set(downstreams(upstream))):
                if downstream != op and downstream not in found:
                    reason = f"its upstream {upstream} is affected: what that becomes is not validated yet"
                    further.setdefault(downstream, Verdict("unknown", reason))
        level = sorted(further)
        found |= {downstream: further[downstream] for downstream in level}
    return list(found.items())

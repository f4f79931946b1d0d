"""What makes a lock whole: one version of each op of an acyclic graph (docs/rules.md).

The reader of lock files and the daemon use the same check.
"""

from collections.abc import Hashable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock

T = TypeVar("T", bound=Hashable)


def check(lock: Lock) -> None:
    """Raise InvalidRequest, with the reason, unless the lock is whole."""
    try:
        check_graph(lock.edges, [each.op for each in lock.versions])
        for each in lock.versions:
            if each.digest is None and each.size is not None:
                raise ValueError(f"the version of {each.op} has a size but no digest")
    except ValueError as error:
        raise errors.InvalidRequest(reason=f"the lock is not valid: {error}") from None


def check_graph(edges: Sequence[tuple[str, str]], ops: Sequence[str]) -> None:
    """Raise ValueError, with the reason, unless each op and each edge occurs once and edges connect these ops.

    `ops`: the op of each version in the lock.
    """
    duplicate = _first_duplicate(ops)
    if duplicate is not None:
        raise ValueError(f"it has two versions of {duplicate}")
    _check_edges(edges, set(ops))
    graph: dict[str, list[str]] = {}
    for up, down in edges:
        graph.setdefault(down, []).append(up)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise ValueError(f"its edges form a cycle: {' -> '.join(error.args[1])}") from None


def _check_edges(edges: Sequence[tuple[str, str]], ops: set[str]) -> None:
    for up, down in edges:
        missing = {up, down} - ops
        if missing:
            raise ValueError(f"it has the edge {up} -> {down}, but no version of {min(missing)}")
        if up == down:
            raise ValueError(f"it has an edge from {up} to itself")
    repeated = _first_duplicate(edges)
    if repeated is not None:
        raise ValueError(f"it has the edge {repeated[0]} -> {repeated[1]} twice")


def _first_duplicate(values: Sequence[T]) -> T | None:
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None

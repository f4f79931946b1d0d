"""The work that one resolution may do. It is counted, not timed, so that equal pipelines always get equal results.

A step is a version that is looked at, a link that is read, a pair of versions that is compared, or an op or edge that
a search sets up or returns over. All searches of one resolution share one budget.
"""

from collections import Counter
from collections.abc import Callable, Iterable

STEPS = 2_000_000  # docs/rules.md says what they suffice for
EDGE_STEPS = 500  # in addition for each edge of the pipeline: reading its links takes that many
QUERY_STEPS = 100  # that a query of the database costs
ROW_STEPS = 5  # that each row of its result costs
RANGE_STEPS = 10_000 * ROW_STEPS  # of all ranges in the references of a request
CHECKPOINT_STEPS = 5_000  # between two calls of the checkpoint
NAMED_OPS = 5  # in the error


class LimitReached(Exception):
    """A limit was reached; its argument says which one, in words."""


def _ignore() -> None:
    pass


class Budget:
    """Counts the steps of a resolution, and the conflicts of each op."""

    def __init__(self, steps: int = STEPS, checkpoint: Callable[[], None] = _ignore) -> None:
        """`checkpoint` is called every CHECKPOINT_STEPS steps, and ends the search if it raises."""
        self.steps, self.spent = steps, 0
        self._checkpoint = checkpoint
        self._next_stop = min(CHECKPOINT_STEPS, steps + 1)
        self._conflicts: Counter[str] = Counter()

    def add_edges(self, count: int) -> None:
        """Add the steps that reading the links of `count` edges takes."""
        self.steps += EDGE_STEPS * count

    def spend(self, steps: int = 1) -> None:
        """Count steps. Raises LimitReached beyond the last one, and what the checkpoint raises."""
        self.spent += steps
        if self.spent >= self._next_stop:
            self._stop()

    def _stop(self) -> None:
        if self.spent > self.steps:
            raise LimitReached(f"{self.steps:,} steps")
        self._checkpoint()
        self._next_stop = min(self.spent + CHECKPOINT_STEPS, self.steps + 1)

    def count_conflict(self, ops: Iterable[str]) -> None:
        """Count a dead end that these ops caused."""
        self._conflicts.update(ops)

    def most_conflicting(self) -> list[str]:
        """Return the ops that caused the most dead ends, at most NAMED_OPS, ties by name."""
        return sorted(self._conflicts, key=lambda op: (-self._conflicts[op], op))[:NAMED_OPS]

"""The advice of an error as a note in its traceback, in the words of Python.

The advice of an error names commands and options. A program that calls the client needs methods and arguments.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from opstore_cli.output.escaping import escape_controls
from opstore_daemon.protocol import errors

T = TypeVar("T")

MAX_EDGES = 10  # of a conflict that a traceback shows


def add_note(error: errors.OpStoreError, called: str) -> None:
    """Add the advice to the traceback of an error that the method `called` of the client raises."""
    # A method calls others: the user knows the outermost one, which sees the error last.
    lines = (*_conflict(error), error.in_python(called))
    error.set_notes([escape_controls(line) for line in lines if line])


@contextmanager
def notes(called: str) -> Iterator[None]:
    """Add the advice to the traceback of an error that is raised in the context."""
    try:
        yield
    except errors.OpStoreError as error:
        add_note(error, called)
        raise


@contextmanager
def with_notes(context: AbstractContextManager[T], called: str) -> Iterator[T]:
    """Enter the context, and add the advice to the errors that are raised in it."""
    with notes(called), context as entered:
        yield entered


def _conflict(error: errors.OpStoreError) -> list[str]:
    """Return a line for each edge that can't be valid, if the error is that a pipeline has no resolution."""
    if not isinstance(error, errors.NoResolution) or error.resolution is None:
        return []
    edges = error.resolution.conflict
    return [f"{edge.upstream} -> {edge.downstream}: {edge.verdict}: {edge.reason}" for edge in edges[:MAX_EDGES]]

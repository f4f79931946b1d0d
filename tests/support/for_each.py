"""Many cases in one test, for checks that take less time than pytest's own work for a test: four milliseconds."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

Test = Callable[..., None]


def for_each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Call the test with each case in turn, given as with `pytest.mark.parametrize`; a failure names its case.

    All cases share the fixtures of the test.
    """
    listed = list(cases)
    assert listed, "without a case the test would prove nothing"

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        taken = (names,) if isinstance(names, str) else names

        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            for case in listed:
                given = dict(zip(taken, (case,) if isinstance(names, str) else case, strict=True))
                try:
                    test(**fixtures, **given)
                except BaseException as failed:
                    failed.add_note(f"the case: {given!r}")
                    raise

        left = [each for name, each in signature.parameters.items() if name not in taken]
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return decorate

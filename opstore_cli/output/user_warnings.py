"""Issue a warning at the line of the program that called this package."""

import sys
import warnings

_OURS = ("opstore_cli.", "opstore_daemon.", "contextlib")


def warn_caller(warning: Warning) -> None:
    """Issue the warning, to which Python's filters apply, at the first line outside of this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)

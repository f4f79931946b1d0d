"""The warning of the Python client about a reference that selected a yanked version."""

import warnings

from opstore_daemon.protocol.records import PickedYanked


class YankedWarning(UserWarning):
    """A reference selected a yanked version. `picked` has the version and the reason of the yank."""

    def __init__(self, picked: PickedYanked) -> None:
        super().__init__(picked)
        self.picked = picked

    def __str__(self) -> str:
        from opstore_cli.output.escaping import escape_controls

        return escape_controls(self.picked)


def warn(picked: PickedYanked) -> None:
    """Issue a YankedWarning, to which Python's warning filters apply."""
    warnings.warn(YankedWarning(picked), stacklevel=2)

"""What the Python client does where a reference picked a yanked version: it warns, as Python does."""

import warnings

from opstore_daemon.protocol.records import PickedYanked


class YankedWarning(UserWarning):
    """A reference picked a yanked version: `picked` says which, and why it was yanked."""

    def __init__(self, picked: PickedYanked) -> None:
        super().__init__(picked)
        self.picked = picked

    def __str__(self) -> str:
        from opstore_cli.output.escaping import escape_controls

        return escape_controls(self.picked)


def warn(picked: PickedYanked) -> None:
    """Warns of it with a YankedWarning, which Python's filters count and suppress."""
    warnings.warn(YankedWarning(picked), stacklevel=2)

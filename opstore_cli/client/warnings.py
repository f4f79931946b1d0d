"""The warnings of the Python client."""

from collections.abc import Mapping

from opstore_daemon.protocol.records import PickedYanked, Pushed


class YankedWarning(UserWarning):
    """A reference selected a yanked version. `picked` has the version and the reason of the yank."""

    def __init__(self, picked: PickedYanked) -> None:
        super().__init__(picked)
        self.picked = picked

    def __str__(self) -> str:
        from opstore_cli.output.escaping import escape_controls

        return escape_controls(self.picked)


class NotRecordedWarning(UserWarning):
    """A push of bytes that the version has already recorded only a part of its arguments."""


def warn(picked: PickedYanked) -> None:
    """Issue a YankedWarning, to which Python's warning filters apply."""
    from opstore_cli.output.user_warnings import warn_caller

    warn_caller(YankedWarning(picked))


def not_recorded(
    pushed: Pushed,
    *,
    message: str | None = None,
    libraries: Mapping[str, str] | None = None,
) -> list[str]:
    """Return which of these arguments of a push were not recorded, because the version was there already."""
    given = {"message": message, "libraries": dict(libraries or {})}
    return [
        f"the {name}"
        for name, value in given.items()
        if not pushed.created and value and getattr(pushed, name) != value
    ]


def warn_not_recorded(pushed: Pushed, recorded: Mapping[str, object], missing: list[str]) -> None:
    """Issue a NotRecordedWarning that names what was recorded and what was not."""
    from opstore_cli.output.escaping import escape_controls
    from opstore_cli.output.user_warnings import warn_caller

    names = [name.replace("_", " ") for name, value in recorded.items() if value]
    reference = f"{pushed.op}@{pushed.version}"
    parts = [f"nothing new: {reference} has these bytes already", f"not recorded: {', '.join(missing)}"]
    if names:
        parts.append(f"recorded on it: {', '.join(names)}")
    if "the message" in missing:
        parts.append(f"client.edit({reference!r}, message=...) sets the message")
    warn_caller(NotRecordedWarning(escape_controls("; ".join(parts))))

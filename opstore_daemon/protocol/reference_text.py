"""The text of a version's reference. It imports nothing, so that the start of a command does not either."""


def format_reference(op: str, number: str | None) -> str:
    """Return `NAME@VERSION`, or the bare name if there is no version number."""
    return op if number is None else f"{op}@{number}"

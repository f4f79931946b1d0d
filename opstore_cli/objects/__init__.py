"""Python objects as versions: `save` and `load` of the client, by named formats.

Only the client's two verbs lead here. No command does, and the daemon knows nothing of it.
"""


class LibraryWarning(UserWarning):
    """An object is loaded with other library versions than it was saved with.

    `reference` is the version (`forest@1.0.0`), `differences` holds (library, version then, version here or None where
    it is not installed) for each library that differs.
    """

    def __init__(self, reference: str, differences: tuple[tuple[str, str, str | None], ...]) -> None:
        super().__init__(reference, differences)
        self.reference = reference
        self.differences = differences

    def __str__(self) -> str:
        said = (f"{_shown(name)} {_shown(then)} (here {here or 'none'})" for name, then, here in self.differences)
        return f"{self.reference} was saved with {', '.join(said)}"


def _shown(text: str) -> str:
    # Whoever pushed wrote it, and a warning goes to a terminal.
    return text if text.isprintable() else ascii(text)

"""Python objects as versions: `save` and `load` of the client, and the formats of the files.

Only these two verbs use this package: no command does, and the daemon knows nothing about formats.
"""


class LibraryWarning(UserWarning):
    """Warns that an object is loaded with other library versions than it was saved with.

    `reference` is the version (`forest@1.0.0`). `differences` has, for each library that differs, its name, its
    version when the object was saved, and its installed version (None if it is not installed).
    """

    def __init__(self, reference: str, differences: tuple[tuple[str, str, str | None], ...]) -> None:
        super().__init__(reference, differences)
        self.reference = reference
        self.differences = differences

    def __str__(self) -> str:
        from opstore_cli.output.escaping import escape_controls

        texts = (f"{name} {then} (here {here or 'none'})" for name, then, here in self.differences)
        return escape_controls(f"{self.reference} was saved with {', '.join(texts)}")

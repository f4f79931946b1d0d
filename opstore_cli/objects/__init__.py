"""Python objects as versions: `save` and `load` of the client, the formats of the files, and the libraries they need.

No command uses the formats, and the daemon knows nothing about them. `validate --env` compares libraries.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opstore_cli.objects.environment import LibraryDifference


class LibraryWarning(UserWarning):
    """Warns that an object is loaded with other library versions than it was saved with.

    `reference` is the version (`forest@1.0.0`). `differences` has, for each library that differs, its name (`library`),
    its version when the object was saved (`recorded`), its installed version (`found`; None if it is not installed),
    and how bad that is (`severity`): `invalid` if the format needs the recorded major and minor version, else
    `warning`. The worst come first.
    """

    def __init__(self, reference: str, differences: "tuple[LibraryDifference, ...]") -> None:
        super().__init__(reference, differences)
        self.reference = reference
        self.differences = differences

    def __str__(self) -> str:
        from opstore_cli.output.escaping import escape_controls

        texts = (f"{each.library} {each.recorded} (here {each.found or 'none'})" for each in self.differences)
        return escape_controls(f"{self.reference} was saved with {', '.join(texts)}")

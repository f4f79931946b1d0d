"""Texts of a certain form, which are checked once, when they enter the program."""

from typing import ClassVar, Self


class CheckedText(str):
    """A text of a certain form, such as a name or a digest.

    `parse` checks a text from outside. Calling the class itself checks nothing: use it for texts that the program
    made or checked earlier, such as those in the database.
    """

    __slots__ = ()

    PATTERN: ClassVar[str]  # a regular expression that ECMA-262 reads the same way: it is in the JSON schema too

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the text as this type, or a value of this type unchecked; raise what `check` raises."""
        if isinstance(text, cls):
            return text
        cls.check(text)
        # Without `str.__str__`, a member of an enum with the value `pca` would become the text `Op.PCA`.
        return cls(str.__str__(text))

    @classmethod
    def check(cls, text: str) -> None:
        """Raise the error of this type unless the text has its form."""
        raise NotImplementedError

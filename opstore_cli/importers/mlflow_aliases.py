"""The aliases of a model become tags, and move as the aliases do.

A label of a version lists the aliases that it had at the last import. So a later import knows which aliases have moved
since: their tags follow, unless somebody moved or removed a tag in this store.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.importers.mlflow_mapping import ALIAS, aliases_of, tag_name
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import TagName

Skip = Callable[[str, str, str, str], object]


@dataclass
class MovedTag:
    """A tag that the import set, and the version that it is on now."""

    op: str
    tag: str
    version: str


class AliasImport:
    """The import of the aliases of one model. `imported` has the records of its versions by their numbers in MLflow."""

    def __init__(
        self,
        client: BaseOpStoreClient,
        op: str,
        imported: dict[int, VersionRecord],
        moved: list[MovedTag],
        skip: Skip,
    ) -> None:
        self._client, self._op, self._imported, self._moved, self._skip = client, op, imported, moved, skip

    def run(self, model: str, aliases: Mapping[str, int]) -> None:
        """Move the tags. An alias that is no tag, or whose tag was moved here, is reported."""
        taken: set[str] = set()
        at = {tag.tag: tag.version for tag in self._client.tags(self._op)}
        for alias, number in sorted(aliases.items(), key=lambda item: (item[0] != tag_name(item[0]), item)):
            name, tag = f"{model}@{alias}", tag_name(alias)
            if tag is None:
                self._skip("alias", name, "a tag can't have this name", "")
            elif tag in taken:
                self._skip("alias", name, f"another alias has the tag {tag}", "")
            elif number not in self._imported:
                self._skip("alias", name, f"version {number} was not imported", "")
            else:
                taken.add(tag)
                try:
                    self._alias(name, alias, tag, number, at.get(tag))
                except (errors.Refused, errors.Conflict) as error:
                    self._skip("alias", name, error.text, error.advice)

    def _alias(self, name: str, alias: str, tag: TagName, number: int, at: str | None) -> None:
        """Move the tag unless the alias is where it was at the last import; `at` is where the tag is now."""
        target = self._imported[number]
        before = {
            other: record
            for other, record in self._imported.items()
            if other != number and alias in aliases_of(record.labels)
        }
        if alias in aliases_of(target.labels) and not before:
            return
        reference = format_reference(self._op, target.version)
        if at != target.version:
            ours: set[str | None] = {record.version for record in before.values()} or {None}
            if at not in ours:
                where = f"the tag {tag} is on {format_reference(self._op, at)}" if at else f"the tag {tag} was removed"
                self._skip("alias", name, f"{where} by a change in this store", f"opstore tag {reference} {tag}")
                return
            self._client.tag(reference, tag)
            self._moved.append(MovedTag(self._op, tag, target.version))
        for other, record in before.items():
            self._label(other, aliases_of(record.labels) - {alias})
        self._label(number, aliases_of(target.labels) | {alias})

    def _label(self, number: int, aliases: set[str]) -> None:
        reference = format_reference(self._op, self._imported[number].version)
        if aliases:
            edited = self._client.edit(reference, labels={ALIAS: ",".join(sorted(aliases))})
        else:
            edited = self._client.edit(reference, unlabel=[ALIAS])
        self._imported[number] = edited

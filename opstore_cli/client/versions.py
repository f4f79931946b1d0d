"""The versions of an op: list them, show one, retire one."""

from collections.abc import Sequence
from typing import Any

from opstore_cli.client.mixin import ApiMixin, as_parameter
from opstore_cli.transport import expected
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.records import NewYank, VersionRecord, Versions
from opstore_daemon.protocol.references import Reference, selector_text
from opstore_daemon.protocol.times import When


class VersionsMixin(ApiMixin):
    """The verbs about versions that need no bytes."""

    def show(self, reference: str | Reference, *, as_of: When | None = None) -> VersionRecord:
        """Return the record of one version.

        Args:
            reference: the version.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            VersionRecord: its number, digest, size in bytes, labels, tags and so on.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            VersionRemoved: the version was removed; its details say when, by whom and why.

        Examples:
            >>> client.show("pca@1.0.0").size
            10
        """
        parsed = Reference.parse(reference)
        return self._api.version(parsed.op, selector_text(parsed.selector), as_of)

    def versions(
        self,
        op: str | Reference,
        *,
        valid_for: Sequence[str | Reference] = (),
        label: Sequence[str] = (),
        limit: int | None = None,
        as_of: When | None = None,
    ) -> Versions:
        """Return the versions of an op, newest first.

        Args:
            op: the name of the op, or a reference, which restricts the list to versions that its selector matches.
            valid_for: references of downstream versions; only versions that are valid for all of them are returned.
            label: labels that the versions have to have, each `KEY` or `KEY=VALUE`; one text is one label.
            limit: the most versions to return.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            Versions: a sequence of `VersionRecord`; `skipped` has the newer versions that are not valid, with reasons.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: a version of `valid_for` does not exist.
            TooMuchWork: too many versions would have to be looked at.

        Examples:
            >>> [each.version for each in client.versions("pca")]
            ['2.0.0', '1.0.0']
            >>> [each.version for each in client.versions("pca", valid_for="forest")]
            ['1.0.0']
        """
        parsed = Reference.parse(op)
        parameters: dict[str, Any] = {
            "valid_for": as_parameter(valid_for),
            "label": list(map(LabelFilter.parse, label)),
            "as_of": as_of,
        }
        if not parsed.bare:
            parameters["select"] = selector_text(parsed.selector)
        pages: list[Versions] = []
        for page in self._api.pages(routes.path(routes.VERSIONS, op=parsed.op), Versions, parameters, limit):
            fits = expected.is_page_of_versions(page, parsed, parameters["label"])
            pages.append(self._api.expect(page, fits, f"the versions of {parsed}"))
        first, last = pages[0], pages[-1]
        return Versions(
            op=first.op,
            versions=tuple(version for page in pages for version in page.versions),
            skipped=first.skipped,
            verdict=first.verdict,
            picked_yanked=first.picked_yanked,
            next_cursor=last.next_cursor,
        )

    def yank(self, reference: str | Reference, reason: str) -> VersionRecord:
        """Yank a version, so that only its version number, digest, subversions or a lock select it.

        Verdicts do not change.

        Args:
            reference: the version.
            reason: why, for everybody who selects it.

        Returns:
            VersionRecord: the version, yanked.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.

        Examples:
            >>> client.yank("pca@2.0.0", "leaks the target").yanked
            True
        """
        return self._set_yank(reference, reason)

    def unyank(self, reference: str | Reference) -> VersionRecord:
        """Undo a yank.

        Args:
            reference: the version, by version number, digest or subversions.

        Returns:
            VersionRecord: the version, no longer yanked.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.

        Examples:
            >>> client.unyank("pca@2.0.0").yanked
            False
        """
        return self._set_yank(reference, None)

    def _set_yank(self, reference: str | Reference, reason: str | None) -> VersionRecord:
        yanked = Reference.parse(reference)
        path = routes.path(routes.YANK, op=yanked.op, selector=selector_text(yanked.selector))
        record = self._api.request("PUT", path, VersionRecord, body=NewYank(reason=reason))
        self._api.check(record, yanked.op, yanked.selector)
        return self._api.expect(record, record.yank_reason == reason, f"{yanked}, yanked or not")

"""Remove versions and ops."""

from collections.abc import Sequence

from opstore_cli.client.mixin import ApiMixin, parse_references
from opstore_cli.transport import expected
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import Lock, NewRemoval, Removal
from opstore_daemon.protocol.references import Reference


class RemovalsMixin(ApiMixin):
    """The verb that removes. It needs a token of the scope `admin`."""

    def remove(
        self,
        references: str | Reference | Sequence[str | Reference],
        *,
        all_versions: bool = False,
        force: bool = False,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> Removal:
        """Remove versions, or ops by their names: all of them, or none. Past states still have them.

        The number of a removed version never comes back. Its links are revoked, and its bytes are left to the
        collector, unless another version has them too.

        Args:
            references: the versions; a name alone is the op, which may have no version.
            all_versions: remove the ops of these names with all their versions.
            force: remove what is still needed, too.
            dry_run: remove nothing, and return what would be removed and what that would break.
            reason: why, for everybody who looks for them.

        Returns:
            Removal: a sequence of the removed versions; `broken` is what needed them, `freeable` are the bytes that no
                other version has.

        Raises:
            StillNeeded: a valid link of another op, a tag or the resolution of a pipeline needs a version; its details
                list these.
            OpHasVersions: a name alone is that of an op with versions.
            OpInPipeline: an op to remove is in a pipeline.
            OpNotFound: an op does not exist.
            VersionNotFound: a reference selects no version.
            VersionRemoved: a version was removed already.

        Examples:
            >>> client.remove("pca@2.0.0", dry_run=True)
            <Removal pca@2.0.0, 16 B freeable>
            >>> client.remove("pca@2.0.0", reason="trained on the wrong columns").removed
            (<OpVersion pca@2.0.0>,)
        """
        if isinstance(references, Lock):
            what = "a reference, or a sequence of references"
            raise errors.InvalidArgument(argument="references", expected=what, actual="Lock", advice="")
        parsed = parse_references([references] if isinstance(references, str) else references)
        body = NewRemoval(references=parsed, all_versions=all_versions, force=force, dry_run=dry_run, reason=reason)
        removal = self._api.request("POST", routes.REMOVALS, Removal, body=body)
        return self._api.expect(removal, expected.is_removal(removal, body), "the removal of these versions")

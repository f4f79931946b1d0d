"""The daemon: its status, its garbage, the sessions of its page, and unfinished uploads."""

import math

from opstore_cli.client.mixin import ApiMixin
from opstore_cli.transport import expected
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import (
    Collection,
    Invitation,
    NewCollection,
    Status,
    UnfinishedUpload,
    UnfinishedUploads,
)
from opstore_daemon.protocol.records.collections import DEFAULT_GRACE


class AdministrationMixin(ApiMixin):
    """The verbs about the daemon itself."""

    def status(self) -> Status:
        """Return the status of the daemon.

        Returns:
            Status: its version, process, folder and schema, and when it started.

        Raises:
            Unreachable: the daemon can't be reached.

        Examples:
            >>> client.status().version == opstore_cli.__version__
            True
        """
        return self._api.request("GET", routes.STATUS, Status)

    def collect_garbage(
        self, *, grace: float = DEFAULT_GRACE, purge: bool = False, dry_run: bool = False
    ) -> Collection:
        """Delete what nobody needs any more: expired uploads, what crashes left, and blobs of removed versions.

        The daemon does so by itself once a day. Blobs that no version refers to are moved to the trash, and deleted for
        good after a week there. Nothing that a version refers to is ever touched.

        Args:
            grace: blobs that were published within this time stay, in seconds; a fraction is rounded up.
            purge: empty the trash now.
            dry_run: change nothing, and return what would be done.

        Returns:
            Collection: what was deleted, moved to the trash and kept, in numbers and bytes. Its `problems` say what
            could not be done.

        Raises:
            CollectionHeld: another collection runs, or a backup reads the blobs.
            CollectionRefused: the blobs may belong to another database.

        Examples:
            >>> client.collect_garbage().problems
            ()
        """
        seconds = math.ceil(grace)
        if dry_run:
            parameters = {"grace": seconds, "purge": int(purge)}
            record = self._api.request("GET", routes.GARBAGE, Collection, parameters=parameters)
        else:
            body = NewCollection(grace=seconds, purge=purge)
            record = self._api.request("POST", routes.GARBAGE, Collection, body=body)
        return self._api.expect(record, expected.is_collection(record, dry_run), "a collection of garbage")

    def invite(self) -> Invitation:
        """Return a path, at the daemon's address, that opens one session of its page.

        The path works once, within a minute. Keep it secret: the first browser that opens it can read the page.

        Returns:
            Invitation: the path, and for how many seconds it works.

        Raises:
            ScopeRequired: the token may not open a session.

        Examples:
            >>> client.invite().seconds
            60
        """
        return self._api.request("POST", routes.SESSIONS, Invitation)

    def end_sessions(self) -> None:
        """End every session of the page that was opened with this client's token.

        Raises:
            Unreachable: the daemon can't be reached.

        Examples:
            >>> client.end_sessions()
        """
        self._api.request("DELETE", routes.SESSIONS, None)

    def uploads(self) -> list[UnfinishedUpload]:
        """Return the unfinished uploads of this client's token, including those that are running.

        Returns:
            list of UnfinishedUpload: each with its offset and size in bytes, and when it expires.

        Raises:
            Unreachable: the daemon can't be reached.

        Examples:
            >>> client.uploads()
            []
        """
        pages = self._api.pages(routes.UPLOADS, UnfinishedUploads)
        return [upload for page in pages for upload in page.rows]

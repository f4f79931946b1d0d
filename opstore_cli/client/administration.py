"""The daemon: its status, the sessions of its page, and unfinished uploads."""

from opstore_cli.client.mixin import ApiMixin
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import Invitation, Status, UnfinishedUpload, UnfinishedUploads


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

"""The daemon itself."""

from opstore_cli.client.mixin import ApiMixin
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import (
    Invitation,
    Status,
    UnfinishedUpload,
    UnfinishedUploads,
)


class AdministrationMixin(ApiMixin):
    """The daemon: its status, the sessions of its page, unfinished uploads."""

    def status(self) -> Status:
        """The daemon that answers."""
        return self._api.request("GET", routes.STATUS, Status)

    def invite(self) -> Invitation:
        """The path, at the daemon's address, that begins one session of its page: once, and within a minute. Whoever
        asks for it first may read the page, so show it to nobody.
        """
        invitation = self._api.request("POST", routes.SESSIONS, Invitation)
        if not invitation.path.startswith("/"):  # behind the port it would name another host
            raise self._api.unexpected(f"the path {invitation.path[:100]!r}", "a session of the page")
        return invitation

    def end_sessions(self) -> None:
        """Ends every session of the page that was begun with this client's token."""
        self._api.request("DELETE", routes.SESSIONS, None)

    def uploads(self) -> list[UnfinishedUpload]:
        """What was begun with this token and no version was made of yet, also what is being sent now."""
        pages = self._api.pages(routes.UPLOADS, UnfinishedUploads)
        return [upload for page in pages for upload in page.uploads]

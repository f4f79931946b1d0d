"""What connections within one machine can do without."""

import contextlib
import socket

_CONGESTION = getattr(socket, "TCP_CONGESTION", None)


def without_pacing(sock: socket.socket) -> None:
    """Has a connection within this machine carry bytes as fast as the other end reads them.

    BBR, which some systems use for all, paces what it sends by a timer (docs/decisions.md). Reno does not, and may be
    used by everybody wherever congestion controls can be chosen. Where it can't be had, nothing changes.
    """
    if _CONGESTION is not None:
        with contextlib.suppress(OSError):
            other: str = sock.getpeername()[0]
            if other == "::1" or other.startswith("127."):
                sock.setsockopt(socket.IPPROTO_TCP, _CONGESTION, b"reno")

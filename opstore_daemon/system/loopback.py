"""How connections within one machine avoid delays."""

import contextlib
import socket

_CONGESTION = getattr(socket, "TCP_CONGESTION", None)


def without_pacing(sock: socket.socket) -> None:
    """Use TCP Reno for a connection within this machine, so that it is as fast as the other end reads.

    BBR, the default of some systems, paces by a timer (docs/decisions.md). Every user may choose Reno if the system
    lets users choose at all; if not, nothing changes.
    """
    if _CONGESTION is not None:
        with contextlib.suppress(OSError):
            other: str = sock.getpeername()[0]
            if other == "::1" or other.startswith("127."):
                sock.setsockopt(socket.IPPROTO_TCP, _CONGESTION, b"reno")

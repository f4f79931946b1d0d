"""Avoid delays of connections within one machine."""

import contextlib
import socket

_CONGESTION = getattr(socket, "TCP_CONGESTION", None)


def disable_pacing(sock: socket.socket) -> None:
    """Use TCP Reno for a connection within this machine, so that only the reader limits its speed.

    BBR, the default of some systems, paces by a timer (docs/decisions.md). Where the system does not let users choose,
    this does nothing.
    """
    if _CONGESTION is not None:
        with contextlib.suppress(OSError):
            other: str = sock.getpeername()[0]
            if other == "::1" or other.startswith("127."):
                sock.setsockopt(socket.IPPROTO_TCP, _CONGESTION, b"reno")

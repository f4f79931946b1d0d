"""The body of a request other than an append: in memory, and beyond a size in a temporary file."""

from waitress.buffers import OverflowableBuffer
from waitress.receiver import FixedStreamReceiver

from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.protocol import errors
from opstore_daemon.system import full_disk


class RequestBuffer(OverflowableBuffer):  # type: ignore[misc]
    """The buffer that waitress' body receiver fills.

    A temporary file that can't be written becomes the error of the receiver, which ends the request. Waitress' own
    buffer would end the connection, without a response.
    """

    def __init__(self, overflow: int, receiver: FixedStreamReceiver) -> None:
        """`overflow`: the bytes from which the body is in a file."""
        super().__init__(overflow)
        self._receiver = receiver

    def append(self, data: bytes) -> None:
        """Add the bytes, unless an earlier part of the body failed."""
        if self._receiver.error is not None:
            return
        try:
            super().append(data)
        except OSError as error:
            reason = f"{full_disk.reason(error)} while receiving the request into a temporary file"
            failure = errors.StorageFull if full_disk.is_full(error) else errors.StorageFailed
            self._receiver.error = Refusal(failure(reason=reason))

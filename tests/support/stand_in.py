"""Stand in for a program: have a fork server start it, pass signals on to it, and end as it ends.

Run as `python -IS stand_in.py SOCKET NAME EXECUTABLE ARGUMENT...` by the scripts that `tests.support.forked` writes.
The child has NAME as `sys.argv[0]` and, unless it is empty, EXECUTABLE as `sys.executable`.
This program imports only modules that are built in: anything else takes longer than the fork.
"""

import _socket
import marshal
import posix
import sys

_signal = sys.modules["_signal"]  # built in; importing `signal` itself takes longer
NUMBER = 4  # bytes of each number on the socket
PASSED_ON = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)


def main() -> None:
    path, name, executable, *arguments = sys.argv[1:]
    connection = _socket.socket(_socket.AF_UNIX)
    inherited = [number for number in map(int, posix.listdir("/proc/self/fd")) if _is_inherited(number, connection)]
    umask = posix.umask(0)
    posix.umask(umask)
    request = marshal.dumps(
        {
            "arguments": [name, *arguments],
            "environment": {_text(key): _text(value) for key, value in posix.environ.items()},
            "executable": executable,
            "umask": umask,
            "session": posix.getsid(0),
            "group": posix.getpgid(0),
            "descriptors": inherited,
        }
    )
    folder = posix.open(".", posix.O_RDONLY | posix.O_DIRECTORY)
    numbers = b"".join(number.to_bytes(NUMBER, sys.byteorder) for number in (folder, *inherited))
    connection.connect(path)
    length = len(request).to_bytes(NUMBER, "little")
    connection.sendmsg([length], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
    connection.sendall(request)
    pid = _number(connection)
    for signal in PASSED_ON:
        _signal.signal(signal, lambda number, frame: posix.kill(pid, number))
    for number in inherited:
        posix.close(number)  # a reader of its output waits for the child only
    code = _number(connection)
    if code < 0:
        if -code in PASSED_ON:
            _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code)


def _is_inherited(number: int, connection: _socket.socket) -> bool:
    try:
        posix.fstat(number)
    except OSError:
        return False  # the descriptor of the listing itself
    return number != connection.fileno()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(connection: _socket.socket) -> int:
    data = b""
    while len(data) < NUMBER:
        piece = connection.recv(NUMBER - len(data))
        if not piece:
            posix.write(2, b"the fork server of the tests has died\n")
            posix._exit(255)
        data += piece
    return int.from_bytes(data, "little", signed=True)


if __name__ == "__main__":
    main()

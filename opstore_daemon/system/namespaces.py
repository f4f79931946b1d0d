"""Where a process id is valid: the machine or container, and on Linux the PID namespace."""

import os
import platform


def host_name() -> str:
    """Return the name of this machine or container."""
    return platform.node()


def pid_namespace() -> str:
    """Return the name of this process's PID namespace; empty on systems other than Linux."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""

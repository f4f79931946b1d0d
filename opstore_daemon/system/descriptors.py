"""How many files this process may have open."""

from contextlib import suppress

try:
    import resource
except ImportError:  # pragma: no cover - no system without it is supported, but the rest would run
    resource = None  # type: ignore[assignment]

UNLIMITED = 2**20


def open_files() -> int:
    """Return how many files this process may have open at once."""
    if resource is None:  # pragma: no cover
        return UNLIMITED
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, UNLIMITED)


def raise_open_files(wanted: int) -> int:
    """Raise the limit to `wanted` if the system allows it, or as far as it does; return the limit."""
    if resource is not None and open_files() < wanted:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, open_files()), hard))
    return open_files()

"""What the client processes of these tests do. It imports little: each process imports it."""

from opstore_cli import OpStoreClient


def push_numbered(number: int, count: int, url: str, token: str) -> list[tuple[int, str]]:
    """Push `count` versions of one op; return the sequence and the number of each."""
    with OpStoreClient(url, token=token) as client:
        pushed = [
            client.push("pca", f"{number} {turn}".encode(), bump=("patch", "minor")[turn % 2]) for turn in range(count)
        ]
    return [(each.sequence, each.version) for each in pushed]

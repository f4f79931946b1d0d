"""A client that does a bit of everything: four requests in five read. Imports little: each process imports it."""

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors

LARGE = 3 * 1024 * 1024  # bytes of a push that needs an upload
KEPT = 12  # versions of its own that a client keeps; it removes older ones
PIPELINE, OPS = "reviews", ("pca", "forest", "report")


def prepare(url: str, token: str) -> None:
    """Make the pipeline that all clients read, with versions that are valid together."""
    with OpStoreClient(url, token=token) as client:
        for op in OPS:
            client.push(op, f"first {op}".encode())
        client.register_pipeline(PIPELINE, list(OPS))
        client.link("pca", "forest@any")
        client.link("forest", "report@any")
        assert client.validate_pipeline(PIPELINE)


def work(number: int, threads: int, seconds: float, url: str, token: str) -> tuple[Counter[str], list[str]]:
    """Run some clients as threads for a time; return how often each verb was called, and the errors."""
    with ThreadPoolExecutor(threads) as pool:
        clients = [Mixed(number * threads + thread, url, token) for thread in range(threads)]
        done = list(pool.map(lambda client: client.run(seconds), clients))
    return sum((calls for calls, _ in done), Counter()), [error for _, errors in done for error in errors]


class Mixed:
    """One client, with an op of its own beside those that all share."""

    def __init__(self, number: int, url: str, token: str) -> None:
        self._client = OpStoreClient(url, token=token)
        self._random = random.Random(number)
        self._own = f"own-{number}"
        self._versions: list[tuple[str, bytes]] = []
        self._position = 0
        self._count = 0
        self._reads: list[Callable[[], object]] = [
            self.pull,
            self.pull_own,
            self.show,
            self.versions,
            self.links,
            self.validate,
            self.validate_pipeline,
            self.resolve,
            self.affected,
            self.tags,
            self.ops,
            self.log,
            self.status,
            self.show_as_of,
            self.validate_as_of,
            self.resolve_as_of,
            self.fsck,
        ]
        self._writes: list[Callable[[], object]] = [
            self.push_shared,
            self.push_own,
            self.push_duplicate,
            self.push_large,
            self.link,
            self.tag,
            self.edit,
            self.remove,
            self.collect_garbage,
        ]

    def run(self, seconds: float) -> tuple[Counter[str], list[str]]:
        """Call verbs until the time is over or one raises."""
        deadline = time.monotonic() + seconds
        calls: Counter[str] = Counter()
        with self._client:
            try:
                self.push_own()
                while time.monotonic() < deadline:
                    verb = self._random.choice(self._writes if self._random.random() < 0.2 else self._reads)
                    verb()
                    calls[verb.__name__] += 1
            except BaseException:  # noqa: BLE001 - whatever it is, the test shows it
                return calls, [f"{self._own}: {traceback.format_exc()}"]
        return calls, []

    # --- reading ----------------------------------------------------------------------------------------------------

    def pull(self) -> None:
        assert self._client.pull(self._random.choice(OPS))

    def pull_own(self) -> None:
        number, data = self._random.choice(self._versions)
        assert self._client.pull(f"{self._own}@{number}") == data

    def show(self) -> None:
        assert self._client.show(self._random.choice(OPS)).digest

    def versions(self) -> None:
        assert self._client.versions("pca", limit=20)

    def links(self) -> None:
        self._client.links(upstream=self._own)

    def validate(self) -> None:
        assert self._client.validate("pca", "forest@1.0.0")

    def validate_pipeline(self) -> None:
        assert self._client.validate_pipeline(PIPELINE)

    def resolve(self) -> None:
        assert len(self._client.resolve(PIPELINE).versions) == len(OPS)

    def affected(self) -> None:
        self._client.affected(self._own)

    def tags(self) -> None:
        self._client.tags(self._own)

    def ops(self) -> None:
        assert self._client.ops()

    def log(self) -> None:
        assert self._client.log(limit=20)

    def status(self) -> None:
        assert self._client.status().pid

    def show_as_of(self) -> None:
        assert self._client.show("pca", as_of=str(self._position)).digest

    def validate_as_of(self) -> None:
        assert self._client.validate("pca", "forest", as_of=str(self._position))

    def resolve_as_of(self) -> None:
        assert len(self._client.resolve(PIPELINE, as_of=str(self._position)).versions) == len(OPS)

    def fsck(self) -> None:
        found = self._client.fsck()
        assert found.clean, found

    # --- writing ----------------------------------------------------------------------------------------------------

    def push_shared(self) -> None:
        self._position = self._client.push("pca", self._bytes(1000), valid_for=["forest@any"]).position

    def push_own(self) -> None:
        self._keep(self._bytes(10_000))

    def push_duplicate(self) -> None:
        self._keep(b"what everybody has")

    def push_large(self) -> None:
        self._keep(self._bytes(LARGE))

    def link(self) -> None:
        number = self._random.choice(self._versions)[0]
        self._client.link(f"{self._own}@{number}", "report@any", evidence=str(self._count))
        self._client.unlink(f"{self._own}@{number}", "report@any")

    def tag(self) -> None:
        self._client.tag(self._own, "best")
        self._client.untag(self._own, "best")

    def edit(self) -> None:
        self._client.edit(self._own, labels={"count": str(self._count)})

    def remove(self) -> None:
        if len(self._versions) > 1:
            number, _ = self._versions.pop(0)
            self._client.remove(f"{self._own}@{number}", force=True)

    def collect_garbage(self) -> None:
        with suppress(errors.CollectionHeld):  # by the check or the collection of another client
            self._client.collect_garbage(grace=0)

    def _bytes(self, size: int) -> bytes:
        self._count += 1
        return f"{self._own} {self._count} ".encode().ljust(size, b"x")

    def _keep(self, data: bytes) -> None:
        pushed = self._client.push(self._own, data, new=True)
        self._position = pushed.position
        self._versions.append((pushed.version, data))
        if len(self._versions) > KEPT:
            self.remove()

"""The clock jumps: order and latest stay, no past state shows what came later, and no upload in use expires."""

import io
import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import Store
from tests.support.figures import few, figures
from tests.support.new_version import new_version
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN, open_server

STILL, SECOND, HOUR, YEAR = timedelta(0), timedelta(seconds=1), timedelta(hours=1), timedelta(days=365)
MIB = 1024 * 1024
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPS = ("pca", "forest")


class Clock:
    """A clock that a test moves, and that goes on by `pace` whenever it is read."""

    def __init__(self, pace: timedelta = SECOND) -> None:
        self.now, self.pace = START, pace

    def __call__(self) -> datetime:
        self.now += self.pace
        return self.now


Jump = Callable[[Clock, random.Random], None]


def by(amount: timedelta) -> Jump:
    """Return the jump by an amount, and back at the next one."""

    def jump(clock: Clock, _chance: random.Random) -> None:
        clock.now += amount if abs(clock.now - START) < abs(amount) / 2 else -amount

    return jump


def stand_still(clock: Clock, _chance: random.Random) -> None:
    """Stop the clock, or start it again."""
    clock.pace = SECOND - clock.pace


def anywhere(clock: Clock, chance: random.Random) -> None:
    """Do any of the others, or a step of less than a minute, as a time server sets it."""
    step = timedelta(seconds=chance.uniform(-90, 10))
    chance.choice([by(-HOUR), by(-YEAR), by(10 * YEAR), stand_still, by(step)])(clock, chance)


JUMPS: dict[str, Jump] = {
    "an hour back": by(-HOUR),
    "a year back": by(-YEAR),
    "ten years on": by(10 * YEAR),
    "standing still": stand_still,
    "anywhere": anywhere,
}


@pytest.fixture(params=few(1, ["anywhere", *(name for name in JUMPS if name != "anywhere")]))  # which has all others
def jump(request: pytest.FixtureRequest) -> Jump:
    return JUMPS[request.param]


def change(store: Store, chance: random.Random, number: int) -> None:
    """Do something that has a few entries in the journal, or one."""
    op, other = chance.sample(OPS, 2)
    data = number.to_bytes(4, "big")
    if number < 2 or chance.random() < 0.6:
        store.push(op, data, valid_for=[f"{other}@any"], new_ops="exact", tags=["best"], labels={"a": "b"})
    elif chance.random() < 0.5:
        store.link(op, f"{other}@any", valid=chance.random() < 0.5)
    else:
        store.tag(op, "best")


def state(store: Store, as_of: str | None = None) -> object:
    """Return what a snapshot shows."""
    shown: dict[str, object] = {"links": store.links(as_of=as_of), "tags": store.tags(as_of=as_of)}
    for op in OPS:
        try:
            shown[op] = store.versions(op, as_of=as_of).versions
        except errors.OpNotFound:
            shown[op] = None
    return shown


def position(store: Store) -> int:
    return store.log(limit=1)[0].position


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(200, 10))
def test_no_past_state_shows_what_came_later(tmp_path: Path, jump: Jump, count: int) -> None:
    chance, clock = random.Random(count), Clock()
    states: dict[int, object] = {}
    asked: dict[str, object] = {}  # by time: the state of then, once the journal has reached that time
    newest = datetime.min.replace(tzinfo=UTC)
    with closing(open_server(tmp_path, clock=clock)) as server:
        store = server.store
        for number in range(count):
            if chance.random() < 0.2:
                jump(clock, chance)
            change(store, chance, number)
            states[position(store)] = state(store)
            newest = max(newest, *(entry.registered_at for entry in store.log(limit=5)))
            times = [clock.now, clock.now - clock.pace / 2, newest, newest - HOUR / 2, newest - 5 * YEAR]
            for time in chance.sample(times, 2):
                if time <= newest:
                    asked.setdefault(time.isoformat(), state(store, time.isoformat()))
        check_order(store, states)
        check_times(store, states, asked)
        last, clock.now, clock.pace = position(store), store.log(limit=1)[0].registered_at, STILL
    with closing(open_server(tmp_path, clock=clock)) as server:
        server.store.push("pca", b"more")
        assert state(server.store, str(last)) == states[last]
        states[position(server.store)] = state(server.store)
        check_times(server.store, states, asked)


def check_order(store: Store, states: dict[int, object]) -> None:
    """Check that sequences have no gaps, that the latest version is the last one, and the past states by position."""
    for op in OPS:
        versions = store.versions(op).versions
        assert [version.sequence for version in versions] == list(range(len(versions), 0, -1))
        assert store.show(op) == versions[0]
    for position, then in states.items():
        assert state(store, str(position)) == then, position


def check_times(store: Store, states: dict[int, object], asked: dict[str, object]) -> None:
    """Check that the state as of a time is a former one without later entries, and that it never changes."""
    entries = list(reversed(store.log()))
    newest = datetime.min.replace(tzinfo=UTC)
    for entry in entries:
        if entry.registered_at > newest:
            newest = entry.registered_at
            end = min(position for position in states if position >= entry.position)
            assert state(store, newest.isoformat()) == states[end], "the state as of an entry has its transaction"
    for time, then in asked.items():
        assert state(store, time) == then, f"the state as of {time} has changed"
        later = (entry.position for entry in entries if entry.registered_at > datetime.fromisoformat(time))
        before = next(later, entries[-1].position + 1)
        assert then in [EMPTY, *(states[position] for position in states if position < before)], time


@pytest.mark.parametrize("count", figures(200, 10))
def test_nothing_that_a_version_refers_to_is_collected(tmp_path: Path, jump: Jump, count: int) -> None:
    chance, clock = random.Random(count), Clock()
    stored: dict[str, bytes] = {}
    with closing(open_server(tmp_path, clock=clock)) as server:
        store = server.store
        for _ in range(count):
            if chance.random() < 0.5:
                jump(clock, chance)
            data = chance.randbytes(chance.choice([8, 2 * MIB])) if chance.random() < 0.9 else b"the same bytes"
            stored[store.push("pca", data, new=True).version] = data
            if chance.random() < 0.3:
                gone = chance.choice(sorted(stored))
                store.remove(f"pca@{gone}")
                del stored[gone]
            grace = chance.choice([0, HOUR.total_seconds(), YEAR.total_seconds()])
            assert store.collect_garbage(grace=grace, purge=chance.random() < 0.5).problems == ()
        for version, data in stored.items():
            assert store.pull(f"pca@{version}") == data
        # However wrong it was, nothing stays for ever: the time of a blob counts in either direction.
        clock.now = datetime.now(UTC) + 2 * YEAR
        store.collect_garbage(purge=True)
        assert set(store.saver) == {digest_of(data) for data in stored.values()}
        assert list(store.saver.trashed()) == []


def test_a_push_goes_on_while_the_clock_jumps_and_others_push(tmp_path: Path, jump: Jump) -> None:
    chance, clock = random.Random(0), Clock()
    data = random_bytes(12 * MIB)

    class Source(io.BytesIO):
        """Moves the clock before each read, and has another client push."""

        def read(self, size: int | None = -1) -> bytes:
            jump(clock, chance)
            store.push("forest", chance.randbytes(8))
            return super().read(size)

    with closing(open_server(tmp_path, clock=clock)) as server, Listener(server) as listener:
        store = server.store
        settings = Settings(home=tmp_path / "home").with_url(listener.url)
        with OpStoreClient(settings=settings, token=ADMIN_TOKEN) as client:
            pushed = client.push("pca", Source(data))
            assert client.pull(f"pca@{pushed.version}") == data


def test_an_upload_that_receives_bytes_does_not_expire() -> None:
    clock = Clock()
    with closing(OpStoreServer(MemorySaver(), clock=clock)) as server:
        uploads = server.store.uploads
        idle, receiving = (uploads.create("local", 4).upload for _ in range(2))
        writer = uploads.writer(receiving, "local", 0, 4)
        writer.append(b"da")
        clock.now += 10 * YEAR
        assert uploads.expire() == 1
        writer.append(b"ta")
        writer.close()
        server.store.add_version("pca", new_version(upload=receiving), "local")
        with pytest.raises(errors.UploadNotFound):
            uploads.claim(idle, "local")


def test_an_upload_from_a_time_when_the_clock_was_ahead_expires_all_the_same() -> None:
    clock = Clock()
    with closing(OpStoreServer(MemorySaver(), clock=clock)) as server:
        uploads = server.store.uploads
        clock.now += 10 * YEAR
        upload = uploads.create("local", None).upload
        clock.now -= 10 * YEAR
        uploads.create("local", None)
        (state,) = [each for each in uploads.page("local", "", 10) if each.upload == upload]
        assert state.expires_at - clock.now < timedelta(days=8)
        clock.now += timedelta(days=8)
        assert uploads.expire() == 2


EMPTY: dict[str, object] = {"links": [], "tags": [], **dict.fromkeys(OPS)}

"""Stores for the tests of the page."""

from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.filled import fill
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.folder_format import END, FILE, FOLDER, LINK, Entry, header, padding
from opstore_daemon.protocol.records import Level, NewBisection
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import Store
from tests.support.new_run import new_run
from tests.support.places import Place

HOSTILE = "<b>bold</b><script>document.title='run'</script>&amp;{{ 7*7 }}\u202egnp.exe\u2066"
SHOWN = HOSTILE.replace("\u202e", "\\u202e").replace("\u2066", "\\u2066")  # on the page


def few(store: Store) -> None:
    """Fill the store with a few weeks of history: ops, an invalid pipeline, tags, a yank."""
    for op, rounds in (("cleaner", 2), ("tokenizer", 3), ("pca", 4), ("random_forest", 3)):
        for turn in range(rounds):
            bump: Level = "minor" if turn else "patch"
            message = f"trained in week {turn + 1}"
            store.push(
                op, f"{op} {turn} ".encode() * (90_000 * (turn + 1)), bump=bump, message=message, new_ops="major"
            )
    store.register_pipeline("churn", ["cleaner", "tokenizer", "pca", "random_forest"])
    store.link("cleaner", "tokenizer@any")
    store.link("tokenizer@1.1.0", "pca@1.2.0", evidence="evaluation 17")
    store.link("tokenizer", "pca@any")
    store.link("pca@1.0.0", "random_forest@1.0.0")
    store.link("pca@1.2.0", "random_forest@1.2.0", evidence="evaluation 19: auc 0.91")
    store.tag(["tokenizer@1.1.0", "pca@1.2.0", "random_forest@1.2.0"], "production")
    store.push("pca", b"retrained on other columns" * 9000, bump="major", message="with the columns of May")
    store.link("pca@2.0.0", "random_forest@1.1.0", valid=False, evidence="evaluation 21: auc 0.52")
    store.yank("tokenizer@1.0.0", "trained on the test set")
    edges = [("cleaner", "tokenizer"), ("cleaner", "scaler"), ("tokenizer", "pca"), ("scaler", "random_forest")]
    edges += [("pca", "random_forest"), ("cleaner", "random_forest")]
    store.register("scaler", fields={"major": {"of": "scaler"}})
    store.register_pipeline("reviews", edges=edges)


def hostile(store: Store) -> None:
    """Add hostile text in every place where users may write."""
    store.push("op", b"bytes", message=HOSTILE, labels={HOSTILE[:60]: HOSTILE})
    store.push("down", b"bytes", message="\u202e" + "x" * 900)
    store.link("op", "down@any", evidence=HOSTILE)
    store.yank("op@1.0.0", HOSTILE)
    store.register_pipeline("x" * 128, ["op", "down", "n" * 128])


EVALUATION = """\
loading cleaner, tokenizer, pca, random_forest
   0%\r  50%\r 100%
\x1b[32mauc 0.91\x1b[0m, at least 0.85 is needed
"""


def runs(store: Store) -> None:
    """Add runs of the pipeline churn: one that passed, on valid versions, and one that failed, on the latest ones."""
    edges = (("cleaner", "tokenizer"), ("tokenizer", "pca"), ("pca", "random_forest"))
    fields: dict[str, Any] = {"edges": edges, "command": ("python", "evaluate.py", "--auc", "0.85")}
    fields |= {"script_path": "evaluate.py", "commit": "1a2b3c4d5e6f"}
    older = ("cleaner@1.1.0", "tokenizer@1.1.0", "pca@1.2.0", "random_forest@1.2.0")
    newest = ("cleaner@1.1.0", "tokenizer@1.2.0", "pca@2.0.0", "random_forest@1.2.0")
    store.record_run("churn", new_run(*older, output=EVALUATION, duration=74.2, **fields))
    output = EVALUATION.replace("91", "52") + "AssertionError: 0.52 < 0.85\n"
    store.record_run("churn", new_run(*newest, output=output, result="failed", duration=71.9, **fields))


def bisection(store: Store) -> None:
    """Add a bisection of churn that names pca 2.0.0, with an entry before it that could not be tested."""
    changes = store.set_history("churn").changes
    culprit = next(each.position for each in changes if (each.op, each.version) == ("pca", "2.0.0"))
    before = [each.position for each in changes if each.position < culprit]
    runs = [each.position for each in store.runs("churn")]
    found = NewBisection(
        command=("python", "evaluate.py", "--auc", "0.85"),
        good=before[-2],
        bad=culprit,
        last_good=before[-2],
        first_bad=culprit,
        skipped=(before[-1],),
        runs=tuple(runs),
    )
    store.record_bisection("churn", found)


def hostile_run(store: Store) -> None:
    """Add a run with hostile text in every place where its author may write."""
    store.register_pipeline("y" * 128, ["op", "down"])
    run = new_run(
        "op@1.0.0",
        "down@1.0.0",
        edges=(("op", "down"),),
        command=("sh", "-c", HOSTILE, "x" * 16000),
        script_path=HOSTILE,
        result="failed",
        reason=HOSTILE,
        output=f"{HOSTILE}\n{'x' * 100_000}\n",
        output_size=3_000_000_000,
        ci_url="javascript:alert(1)",
    )
    store.record_run("y" * 128, run)


def folder_bytes(*entries: Entry | tuple[str, bytes]) -> bytes:
    """Return the stream of a folder with these entries, sorted by path; a pair is a file's name and bytes."""
    stream = b""
    for each in entries:
        entry, content = (
            (each, b"") if isinstance(each, Entry) else (Entry(each[0].encode(), FILE, len(each[1])), each[1])
        )
        stream += header(entry) + content + bytes(padding(len(content)))
    return stream + END


def folders(store: Store) -> None:
    """Add two versions of an op that is a folder."""
    spring = folder_bytes(
        ("config.json", b"{}"),
        Entry(b"latest", LINK, target=b"weights/model"),
        Entry(b"weights", FOLDER),
        ("weights/model", b"x" * 300_000),
    )
    summer = folder_bytes(
        ("config.json", b"{}"),
        Entry(b"run.sh", FILE, executable=True),
        Entry(b"weights", FOLDER),
        ("weights/model", b"x" * 310_000),
    )
    labels = {"team": "reviews", "data": "April"}
    store.push("encoder", spring, format="folder", labels=labels, libraries={"torch": "2.9.0"}, message="of spring")
    store.push("encoder", summer, format="folder", labels={**labels, "data": "July"}, libraries={"torch": "2.10.0"})


def many_ops(store: Store, count: int) -> None:
    """Add `count` ops with a version each, and a pipeline of all of them."""
    names = [f"op_{number:04}" for number in range(count)]
    for name in names:
        store.push(name, name.encode())
    edges = [(up, down) for place, down in enumerate(names) for up in names[max(place - 4, 0) : max(place - 2, 0)]]
    store.register_pipeline("all", ops=names, edges=edges)
    for up, down in edges[::3]:
        store.link(up, down)


def many_versions(server: OpStoreServer, count: int) -> None:
    """Add two ops with `count` versions each, and a link for each version except the newest ones."""
    fill(server, ["upstream", "downstream"], count, min(20, count // 2))


class Clock:
    """A clock that is an hour later each time it is read."""

    def __init__(self) -> None:
        self._now = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(hours=1)
        return self._now


def server(place: Place, **options: Any) -> OpStoreServer:
    """Return a server with a store of its own, with that clock, which an object store would read too."""
    return place.open(saver=MemorySaver(), clock=Clock(), **options)

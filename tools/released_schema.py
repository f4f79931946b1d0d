"""Write tests/daemon/metadata/released/NNNN.sql: a database of this release's schema, with rows of each kind.

After a migration was added, `python -m tools.released_schema` writes the file of the checked-out release. The file of
an older schema is written by the release that had it: `git worktree add OLD COMMIT`, then
`PYTHONPATH=OLD python tools/released_schema.py FOLDER`. So this file uses only what every release has.
"""

import sqlite3
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import FileSaver

FOLDER = Path(__file__).parent.parent / "tests" / "daemon" / "metadata" / "released"
START = datetime(2026, 1, 1, tzinfo=UTC)
UPLOADED = b"half"  # the bytes of the unfinished upload


class Story:
    """What somebody did with a store; `schema` says what their release could do."""

    def __init__(self, store: Any, schema: str) -> None:
        self._store, self._schema, self._hour = store, schema, 0

    def now(self) -> datetime:
        """Return the time of the store's clock: the chapter's, so that past states have a time."""
        return START + timedelta(hours=self._hour)

    def _has(self, schema: str) -> bool:
        return self._schema >= schema

    def _chapter(self) -> Any:
        self._hour += 1
        return self._store.by("ann@laptop") if self._has("0009") else self._store

    def tell(self) -> None:
        """Make rows of every kind that the schema has."""
        any_version = "forest@any" if self._has("0007") else "forest"
        creating = {"new_ops": "major"} if self._has("0007") else {}
        store = self._chapter()
        store.push("pca", b"pca one", labels={"data": "january"}, message="the first")
        store.push("forest", b"forest one", valid_with=["pca"])
        store = self._chapter()
        store.push("pca", b"pca two", bump="minor", tags=["candidate"], valid_for=[any_version])
        store.register("knn", fields={"minor": {"k": "5"}})
        store = self._chapter()
        store.link("knn", any_version, evidence="notebook 7")
        store.link("pca@1.1.0", any_version, valid=False, evidence="drifted")
        store.link("knn", "pca")
        store.unlink("knn", "pca")
        store = self._chapter()
        store.tag("pca@1.0.0", "prod")
        store.tag("pca@1.1.0", "prod")
        store.untag("pca", "candidate")
        if not self._has("0007"):
            store.tag("forest", "any")
        store = self._chapter()
        store.yank("pca@1.1.0", "drifts")
        store.yank("forest", "by mistake")
        store.unyank("forest@1.0.0")
        store.register_pipeline("churn", ["pca", "forest"])
        store.register_pipeline("old", ["pca", "knn"], **creating)
        store.remove_pipeline("old")
        self._edit(self._chapter())
        if self._has("0010"):
            self._run(self._chapter())
        self._upload()

    def _edit(self, store: Any) -> None:
        if self._has("0006"):
            store.set_op("pca", compat="minor", description="Reduces the features")
            store.edit("pca@1.0.0", message="the first of January", labels={"by": "ann"}, unlabel=["data"])
        else:
            store.set_compat("pca", "minor")
        if self._has("0008"):
            store.push("forest", b"forest two", filename="forest.joblib", executable=True, labels={"kind": "script"})

    def _run(self, store: Any) -> None:
        from opstore_daemon.protocol.digests import digest_of
        from opstore_daemon.protocol.names import OpName
        from opstore_daemon.protocol.records import NewBisection, NewRun
        from opstore_daemon.protocol.references import Reference

        for version, code in (("1.0.0", 0), ("1.1.0", 1)):
            output = f"exit code {code}\n"
            store.record_run(
                "churn",
                NewRun(
                    edges=((OpName("pca"), OpName("forest")),),
                    versions=(Reference.parse(f"pca@{version}"), Reference.parse("forest@1.0.0")),
                    output=output,
                    command=("python", "eval.py"),
                    script=digest_of(b"eval"),
                    script_path="eval.py",
                    result="failed" if code else "passed",
                    reason=f"exit code {code}",
                    exit_code=code,
                    duration=3.25,
                    output_digest=digest_of(output.encode()),
                    output_size=len(output),
                ),
            )
        passed, failed = sorted(run.position for run in store.runs())
        broke = store.show("pca@1.1.0").position
        store.record_bisection(
            "churn",
            NewBisection(
                command=("python", "eval.py"),
                good=broke - 1,
                bad=broke,
                last_good=broke - 1,
                first_bad=broke,
                runs=(passed, failed),
            ),
        )

    def _upload(self) -> None:
        upload = self._store.create_upload("local", 8).upload
        writer = self._store.uploads.writer(upload, "local", 0, None)
        writer.append(UPLOADED)
        writer.close()


def dump(folder: Path) -> tuple[str, str]:
    """Return the schema of the release, and a database of it as SQL."""
    path = folder / "opstore.db"
    times: list[Story] = []
    server = OpStoreServer(
        FileSaver(folder / "blobs"), f"sqlite:///{path}", clock=lambda: times[0].now() if times else START
    )
    schema: str = server.migrate.head()
    times.append(Story(server.store, schema))
    times[0].tell()
    server.close()
    with closing(sqlite3.connect(path)) as connection:
        return schema, "".join(f"{line}\n" for line in connection.iterdump())


def main(folder: Path) -> None:
    """Write the file of the release that is imported."""
    with tempfile.TemporaryDirectory() as scratch:
        schema, text = dump(Path(scratch))
    (folder / f"{schema}.sql").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

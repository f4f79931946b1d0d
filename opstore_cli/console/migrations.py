"""Write the result of `opstore migrate` as text or JSON."""

from collections.abc import Iterator
from typing import Any

from opstore_cli.console.backups import count, plain
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.sizes import format_size


def write_migration(session: Session, document: dict[str, Any]) -> None:
    """Write a line for each key, on a terminal the lines that people need; with -q only the store id."""
    if session.out.shows_tables:
        rows = [(Cell(name), Cell(text)) for name, text in _for_people(document)]
    else:
        rows = [(Cell(key), Cell(plain(value))) for key, value in document.items()]
    session.out.write_result(document, quiet=[document["store_id"]], full=Table(("", ""), rows))


def _for_people(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    is_plan = "dry_run" in found
    yield "store", found["store_id"]
    for name, before, after in (("database", "from_db", "db"), ("bytes", "from_saver", "saver")):
        stays = found[before] == found[after]
        yield name, f"{found[after]} (it stays)" if stays else found[after]
    yield "position", str(found["position"])
    yield "versions", f"{found['versions']}, of {count(found['ops'], 'op')}"
    blobs = f"{found['blobs']} ({format_size(found['blobs_size'])})"
    if is_plan:
        yield "blobs", f"{blobs}: {found['to_copy']} to copy ({format_size(found['to_copy_size'])})"
        yield "rows", f"{found['rows']} to copy"
        yield "would", "resume a migration that was interrupted" if found["resumes"] else "begin"
        return
    copied = f"{found['copied']} copied ({format_size(found['copied_size'])}), {found['present']} already there"
    yield "blobs", f"{blobs}: {copied}, {found['read_back']} read back"
    yield "rows", f"{found['rows']}, equal on both sides" if found["rows"] else "0: the database stays"
    if found["missing"]:
        yield "missing", f"{count(len(found['missing']), 'blob')}, see above"
    if found["uploads"]:
        yield "left", f"{count(found['uploads'], 'unfinished upload')}: the clients begin again"
    yield "start", found["serve"]
    yield "go back", f"{found['go_back']} (without what was pushed since)"

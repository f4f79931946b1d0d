"""How transactions begin on PostgreSQL: each in one round trip, and without any state of the session.

A pooler such as PgBouncer may give each transaction another session. So every setting is SET LOCAL, every lock ends
with its transaction, and nothing is listened to.
"""

from opstore_daemon.metadata.postgres.failures import IDLE, STATEMENT, WAIT

MIGRATION = 300  # seconds to wait for another daemon that creates or upgrades the schema
# Any number that other programs are unlikely to use for an advisory lock: "opstore" in ASCII.
MIGRATION_LOCK = int.from_bytes(b"opstore")

_LIMITS = (
    f"SET LOCAL lock_timeout = '{WAIT}s'; "
    f"SET LOCAL statement_timeout = '{STATEMENT}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE}s'"
)
# A commit that is acknowledged is on the disk, even where the server is set up for speed. Other values stay: they may
# also ask for a standby.
_DURABLE = """set_config(
    'synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END,
    true
)"""
_ORDER = (
    "SELECT position, oldest_schema, (SELECT id FROM store), {also} FROM counter WHERE id = 1 FOR UPDATE OF counter"
)
# Not READ WRITE: an operator's default_transaction_read_only counts.
_WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LIMITS}"

PLAIN = "BEGIN"  # of an operator's own queries
ORDERED = f"{_WRITE}; {_ORDER.format(also=_DURABLE)}"
"""Takes the lock of the counter, which orders commits. Its row: position, oldest schema, store id."""
UNORDERED = f"{_WRITE}; SELECT {_DURABLE}"
# Its lock of the row would have the commit wait for the disk and for synchronous standbys, although it changes nothing.
BETWEEN_WRITES = f"{_WRITE}; SET LOCAL synchronous_commit = off; {_ORDER.format(also='NULL')}"
READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_LIMITS}"
READ_FOR_LONG = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0"
)
SCHEMA = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{MIGRATION}s'; "
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; "
    f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK}); SELECT {_DURABLE}"
)
LOCK_COUNTER = "SELECT 1 FROM counter WHERE id = 1 FOR UPDATE"

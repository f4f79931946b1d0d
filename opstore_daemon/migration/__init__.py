"""Move a store to another database and another saver: `opstore migrate`, without its daemon.

places.py          the database and the saver at two URLs, and how messages and commands name them
source.py          the store that is moved: nobody else writes to it, and nothing of it is changed
target.py          the new place: empty, or an unfinished migration of the same store; no daemon starts there meanwhile
blobs.py           the bytes, many at a time
rows.py            the tables, one after the other
moving.py          all of it in order, and its verification
program.py         `python -m opstore_daemon migrate`

Databases and savers are what their URLs say; nothing here knows which ones there are, but for the folders and files
that are looked at before they are created.
"""

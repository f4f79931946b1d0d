"""Backups of the local store: a folder with a copy of its database and of its blobs, made beside a running daemon.

source.py          the store that is backed up: which files, and whether they are whole
folder.py          the folder of a backup: what is where, who uses it, what an interrupted backup left
manifest.py        manifest.json, which says what a whole backup has; it is written last
database_copy.py   the copy of the database, and what it says
blobs.py           the copies of the blobs
checksums.py       SHA256SUMS, for a verification by hand
creation.py        `opstore backup DIR`
verification.py    `opstore backup --check DIR`
home.py            the home that a backup is restored into
restoration.py     `opstore restore DIR`
reporting.py       progress and problems, for whoever runs these
"""

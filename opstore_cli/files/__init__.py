"""Safe files and folders: locks, private files, part files, atomic renames."""

"""The commands, one file each, with a click command of the file's name. `opstore_cli.main` lists them."""

"""One module for each command; `opstore_cli.console.application` lists them."""

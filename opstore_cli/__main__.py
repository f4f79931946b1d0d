"""`python -m opstore_cli`: the same as `opstore`."""

from opstore_cli.main import run

if __name__ == "__main__":
    run()

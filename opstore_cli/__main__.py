"""Run the command line with `python -m opstore_cli`."""

from opstore_cli.main import run

if __name__ == "__main__":
    run()

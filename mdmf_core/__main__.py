"""`python -m mdmf_core`: see `cli.py`."""

from mdmf_core.cli import main

if __name__ == "__main__":
    main()

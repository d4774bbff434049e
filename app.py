"""The door: `python app.py` serves the workstation, `python app.py COMMAND` does one thing; see `--help`."""

from __future__ import annotations

import sys

from ui.cli import main

if __name__ == "__main__":
    sys.exit(main())

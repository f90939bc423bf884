"""The program as a folder: python attnflow/checker FILE."""

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    home = Path(__file__).resolve().parent
    sys.path[0] = str(home.parent)  # so that this folder is a package, by its own name
    if status := import_module(f"{home.name}.program").main(sys.argv[1:]):
        sys.exit(status)

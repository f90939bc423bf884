"""The program as a folder: python attnflow/checker FILE."""

import sys
from importlib import import_module
from pathlib import Path


def _main() -> int:
    home = Path(__file__).resolve().parent
    sys.path[0] = str(home.parent)  # so that this folder is a package, by its own name
    return import_module(f"{home.name}.program").main(sys.argv[1:])


if __name__ == "__main__" and _main():
    sys.exit(1)

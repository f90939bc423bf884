"""The command line: `attnflow reproduce`, `attnflow simulate`, `attnflow info`."""

from ._main import main as main

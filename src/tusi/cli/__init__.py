"""The command line: one file per command; each builds an options object, calls the package, and says what came out."""

from tusi.cli.application import main

__all__ = ["main"]

"""The command line: one thin command each. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

# In the order in which --help lists their commands.
# isort: off
from mediadiff.cli import train, render, batch, prove, look, data, bench
from mediadiff.cli.app import app, main

__all__ = ["app", "batch", "bench", "data", "look", "main", "prove", "render", "train"]

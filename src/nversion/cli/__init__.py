"""The command line: one thin file per command; heavy imports stand inside the functions."""

from .main import main

__all__ = ["main"]

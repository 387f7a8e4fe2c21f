"""The command line: one thin file per command; heavy imports stand inside the functions."""

import sys
from typing import NoReturn

from nversion.core.extras import missing

try:
    from .main import main
except ModuleNotFoundError as error:
    if (_reason := missing(error)) is None:
        raise
    _SENTENCE = f"error: {_reason}"

    def main() -> NoReturn:
        """Say which packages the command line needs."""
        print(_SENTENCE, file=sys.stderr)
        sys.exit(2)


__all__ = ["main"]

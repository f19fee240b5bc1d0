"""Colours by what they mean, on terminals that show them."""

import os
import sys


def has_colours() -> bool:
    """Whether standard output shows colours, and the user wants them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty()


class Paint:
    """ANSI colours by what they mean; plain text if not *on*."""

    def __init__(self, *, on: bool) -> None:
        self._on = on

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on and text else text

    def bad(self, text: str) -> str:
        """What is refused."""
        return self._in("1;31", text)

    def good(self, text: str) -> str:
        """What is accepted, or would help."""
        return self._in("32", text)

    def place(self, text: str) -> str:
        """Where something is."""
        return self._in("36", text)

    def strong(self, text: str) -> str:
        """The name of something."""
        return self._in("1", text)

    def dim(self, text: str) -> str:
        """What frames the rest."""
        return self._in("2", text)

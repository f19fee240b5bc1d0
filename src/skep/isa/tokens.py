"""Words of assembly text: what stands where, so that an error can point at it.

``#`` and ``//`` begin a comment, as does ``;`` at the start of a line (a source line in a listing);
elsewhere ``;`` ends a statement, as in clang.
"""

import re
from dataclasses import dataclass
from typing import Final

from skep.errors import AssemblyError

_COMMENT: Final = re.compile(r"//|#")
_TOKEN: Final = re.compile(
    r"\s*(?:"
    r"(?P<operator>s(?:>>=|/=|%=|<=|>=|<|>)|<<=|>>=|[=!<>+\-*/%&|^]=|[-+*&<>=()\[\],:])"
    r"|(?P<number>0[xX][0-9a-fA-F]+|[0-9]+(?![0-9a-zA-Z_]))"
    r"|(?P<back>[0-9]+[bf](?![0-9a-zA-Z_]))"
    r"|(?P<word>[A-Za-z_.$][\w.$]*)"
    r")"
)
_POSITION: Final = re.compile(r"<[^<>=]*\+0x[0-9a-f]+>\s*$")  # "<.text+0x48>" of a disassembly


@dataclass(frozen=True, slots=True)
class Token:
    """One word and its place; *line* and *column* count from 1."""

    text: str
    kind: str  # "operator", "number", "word", "back" (1b, 1f) or "end"
    line: int
    column: int


class Statement:
    """The words of one statement, taken from left to right; "" is the word after the last."""

    def __init__(self, tokens: list[Token], end: Token) -> None:
        self._tokens = tokens
        self._end = end
        self._at = 0

    def peek(self, ahead: int = 0) -> Token:
        """The word *ahead* words from here."""
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else self._end

    def take(self) -> Token:
        """The next word; the statement moves on."""
        token = self.peek()
        self._at += 1
        return token

    def accept(self, text: str) -> bool:
        """Take the next word if it is *text*."""
        if self.peek().text != text or self.peek().kind == "end":
            return False
        self._at += 1
        return True

    def expect(self, text: str) -> Token:
        """Take *text*, or fail."""
        if self.peek().text != text:
            raise self.error(repr(text))
        return self.take()

    def error(self, expected: str, token: Token | None = None) -> AssemblyError:
        """The error that *token*, or else the next word, is not *expected*."""
        wrong = self.peek() if token is None else token
        return AssemblyError(
            line=wrong.line, column=wrong.column, token=wrong.text, expected=expected
        )


def _without_comment(line: str) -> str:
    if line.lstrip().startswith(";"):
        return ""
    found = _COMMENT.search(line)
    return line[: found.start()] if found else line


def _statement(text: str, number: int, column: int) -> Statement:
    position = _POSITION.search(text)
    if position:
        text = text[: position.start()]
    text = text.rstrip()
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            start = column + len(text) - len(rest)
            raise AssemblyError(line=number, column=start, token=rest[:1], expected="an operand")
        kind = str(match.lastgroup)
        word = match.group(kind)
        tokens.append(Token(word, kind, number, column + match.start(kind)))
        at = match.end()
    return Statement(tokens, Token("", "end", number, column + len(text)))


def statements(text: str) -> list[Statement]:
    """Split *text* into statements that have words.

    Raises:
        AssemblyError: a character that begins no word.
    """
    found: list[Statement] = []
    for number, line in enumerate(text.splitlines(), 1):
        column = 1
        for part in _without_comment(line).split(";"):
            statement = _statement(part, number, column)
            if statement.peek().kind != "end":
                found.append(statement)
            column += len(part) + 1
    return found

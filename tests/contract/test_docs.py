"""The documentation runs: its code, its commands, and what it says they print; its links lead on.

The blocks of a page run in order, in a directory of their own that holds the objects of ``tests``
and ``examples``; the Python blocks of a page share their names. What runs:

* ``python``: executed; the next block, if it is ``text``, is what it prints;
* ``python file=NAME``: written to a file called NAME;
* ``python excerpt=PATH``: stands in the file PATH of the repository, word for word;
* ``console``: the lines ``$ skep …`` and ``$ python …``; the lines below are what they print. The
  exit status is 0, or what ``$ echo $?`` shows next. Other commands are not run, nor is what stands
  behind a ``>`` or ``|``;
* with ``no-run`` behind any of these: nothing.

In expected output ``...`` stands for anything, and the amount of white space does not matter.
``vmlinux`` is the shipped BTF here, so that a page says the same on every machine.
"""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skep.btf.kernel import SHIPPED
from skep.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROSE = sorted([*PAGES, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))])
INPUTS = ("tests/objects/*.bpf.[co]", "examples/*/*.bpf.[co]", "examples/*/*.pcap")
STAND_INS = {  # names that short examples use for whatever the reader has
    "prog.bpf.o": "packet_counter.bpf.o",
    "capture.pcap": "lo.pcap",
}
PACKET = bytes(12) + b"\x08\x00" + bytes(9) + b"\x06" + bytes(40)

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
MATCH = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """One fenced block of a page."""

    place: str
    language: str
    options: Mapping[str, str]
    text: str


class Command(NamedTuple):
    """One command of a console block, what it prints, and its exit status."""

    line: str
    output: str
    status: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        language, *words = match[1].split() or [""]
        options = dict(word.partition("=")[::2] for word in words)
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(f"{page.relative_to(ROOT)}:{line}", language, options, match[2]))
    return found


def commands(text: str) -> Iterator[Command]:
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    rows = [part.partition("\n")[::2] for part in parts]
    for number, (line, output) in enumerate(rows):
        following = rows[number + 1] if number + 1 < len(rows) else ("", "")
        status = int(following[1]) if following[0] == "echo $?" else 0
        yield Command(line, output, status)


def expect(place: str, wanted: str, printed: str) -> None:
    if not doctest.OutputChecker().check_output(wanted, printed, MATCH):
        pytest.fail(f"{place}: expected\n{wanted}\nprinted\n{printed}", pytrace=False)


def execute(block: Block, names: dict[str, Any], wanted: str | None) -> None:
    if "file" in block.options:
        Path(block.options["file"]).write_text(block.text)
    elif "excerpt" in block.options:
        assert block.text in (ROOT / block.options["excerpt"]).read_text(), block.place
    else:
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(block.text, block.place, "exec"), names)
        if wanted is not None:
            expect(block.place, wanted, printed.getvalue())


def perform(place: str, command: Command) -> None:
    words = shlex.split(re.split(r" [>|] ", command.line)[0], comments=True)
    if words[0] == "skep":
        status, printed = run_skep(words[1:])
    elif words[0] == "python":
        status, printed = run_python(words[1:])
    else:
        return
    assert (command.line, status) == (command.line, command.status), f"{place}\n{printed}"
    if command.output.strip():
        expect(place, command.output, printed)


def run_skep(arguments: list[str]) -> tuple[int, str]:
    printed = StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, printed.getvalue()


def run_python(arguments: list[str]) -> tuple[int, str]:
    settings = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    settings["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False, capture_output=True, text=True, env=settings, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pattern in INPUTS:
        for path in ROOT.glob(pattern):
            shutil.copy(path, tmp_path)
    for name, original in STAND_INS.items():
        shutil.copy(tmp_path / original, tmp_path / name)
    shutil.copy(SHIPPED, tmp_path / "vmlinux")
    monkeypatch.chdir(tmp_path)


def runs(page: Path) -> bool:
    return any(block.language in ("python", "console") for block in blocks(page))


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if runs(page)]
)
def test_what_a_page_shows_is_what_happens(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__", "packet": PACKET}
    every = blocks(page)
    for block, following in zip(every, [*every[1:], None], strict=True):
        if "no-run" in block.options:
            continue
        if block.language == "python":
            shown = following is not None and following.language == "text"
            execute(block, names, following.text if following and shown else None)
        elif block.language == "console":
            for command in commands(block.text):
                perform(block.place, command)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    text = FENCE.sub("", page.read_text())
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(text))
    return {title.strip().replace(" ", "-") for title in plain}


def test_every_link_inside_the_documentation_leads_somewhere() -> None:
    broken = []
    for page in PROSE:
        for link in LINK.findall(FENCE.sub("", page.read_text())):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if "://" in link or (target.exists() and (not anchor or anchor in anchors(target))):
                continue
            broken.append(f"{page.relative_to(ROOT)}: {link}")

    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links]

    lost = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - seen
    assert sorted(str(page.relative_to(ROOT)) for page in lost) == []

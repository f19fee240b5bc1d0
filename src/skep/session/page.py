"""A verification as one static HTML file: source, bytecode, what is known around each instruction.

It needs no network, which its content security policy states, and is read without JavaScript:
that adds the search and lights up what belongs together.
"""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from skep.session.observation import Known
from skep.session.page_model import Chapter, Row, Way

DATA: Final = Path(__file__).parent.parent / "data"
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
TAB: Final = 8
BAR: Final = """\
<div class="bar"><span id="tools" hidden>
<label>Search <input id="search" type="search" placeholder="instruction, register, source"></label>
<label><input id="all" type="checkbox"> open all</label>
<span id="count" class="dim"></span>
</span></div>"""


def page(title: str, chapters: Sequence[Chapter]) -> str:
    """The whole file."""
    style, script = ((DATA / f"page.{kind}").read_text() for kind in ("css", "js"))
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>\n{style}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        BAR,
        *_contents(chapters),
        *(line for number, each in enumerate(chapters) for line in _chapter(number, each)),
        f"<script>\n{script}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    """*text* as HTML shows it: tabs widened, nothing that is not printable."""
    shown = "".join(c if c.isprintable() else "?" for c in text.expandtabs(TAB))
    return escape(shown)


def _contents(chapters: Sequence[Chapter]) -> Iterator[str]:
    yield "<ul>"
    for number, each in enumerate(chapters):
        verdict = each.verdict
        rule = f" ({_text(verdict.rule)})" if verdict.rule else ""
        yield (
            f'<li><a href="#p{number}">{_text(verdict.program or verdict.file)}</a>: '
            f'<span class="{verdict.verdict}">{verdict.verdict}</span>{rule}</li>'
        )
    yield "</ul>"


def _chapter(number: int, each: Chapter) -> Iterator[str]:
    verdict = each.verdict
    yield f'<section id="p{number}"><h2>{_text(verdict.program or verdict.file)}: '
    yield f'<span class="{verdict.verdict}">{verdict.verdict}</span></h2>'
    if verdict.verdict == "accepted":
        cost = f"{verdict.insns_processed} instructions processed, {verdict.states} states"
        yield f'<p class="dim">{cost}</p>'
    else:
        yield from _refusal(number, each)
    if each.rows:
        yield '<div class="sides"><div class="source">'
        yield from _source(number, each)
        yield '</div><div class="insns">'
        yield from _insns(number, each)
        yield "</div></div>"
    yield "</section>"


def _refusal(number: int, each: Chapter) -> Iterator[str]:
    verdict, reason = each.verdict, each.verdict.reason
    yield f'<p class="rejected"><code>{_text(verdict.message)}</code> {_text(verdict.errno)}</p>'
    if reason is None:
        return
    yield "<p>"
    if reason.insn >= 0:
        at = f"insn {reason.insn}: {reason.text}"
        yield f'At <a href="#p{number}i{reason.insn}"><code>{_text(at)}</code></a>.<br>'
    yield f"Rule <b>{_text(reason.rule.id)}</b>: {_text(reason.rule.sentence)}.<br>"
    if reason.found:
        yield f"Found: <code>{_text(reason.found)}</code><br>"
    if reason.hint:
        yield f'<span class="accepted">Hint</span>: {_text(reason.hint)}'
    yield "</p>"
    if reason.steps:
        yield '<p>Because:</p><ol class="causes">'
        for step in reason.steps:
            line = f" <span class=dim>{_text(step.line.text.strip())}</span>" if step.line else ""
            yield (
                f'<li><a href="#p{number}i{step.insn}"><code>insn {step.insn}: {_text(step.text)}'
                f"</code></a> <code>{_text(step.effect)}</code>{line}</li>"
            )
        yield "</ol>"


def _source(number: int, each: Chapter) -> Iterator[str]:
    first: dict[str, int] = {}
    for row in each.rows:
        first.setdefault(row.place, row.insn)
    for name, lines in each.source.items():
        yield f"<h3>{_text(name)}</h3>"
        before = 0
        for line, text in lines.items():
            if before and line > before + 1:
                yield '<p class="gap">...</p>'
            before = line
            yield _source_line(number, f"{name}:{line}", text, each, first)


def _source_line(number: int, place: str, text: str, each: Chapter, first: dict[str, int]) -> str:
    line = place.rpartition(":")[2]
    mark = f'<span class="number">{line}</span>'
    if place in first:
        mark = f'<a class="number" href="#p{number}i{first[place]}">{line}</a>'
    blamed = ' class="path"' if place in each.blamed else ""
    return f'<p{blamed} data-place="{_text(place)}">{mark}{_text(text)}</p>'


def _insns(number: int, each: Chapter) -> Iterator[str]:
    texts = {
        f"{name}:{line}": text for name, lines in each.source.items()
        for line, text in lines.items()
    }  # fmt: skip
    place = ""
    for row in each.rows:
        if row.insn in each.functions:
            yield f"<h3>{_text(each.functions[row.insn])}</h3>"
            place = ""
        if row.place and row.place != place:
            place = row.place
            yield (
                f'<p class="line" data-place="{_text(place)}">; {_text(place)}  '
                f"{_text(texts.get(place, '').strip())}</p>"
            )
        yield from _insn(number, row)


def _insn(number: int, row: Row) -> Iterator[str]:
    kinds = [
        name
        for name, on in (
            ("path", bool(row.effect) or row.refused),
            ("refused", row.refused),
            ("unreached", not row.visits),
        )
        if on
    ]
    opened = " open" if row.refused else ""
    yield (
        f'<details id="p{number}i{row.insn}" class="{" ".join(kinds)}" '
        f'data-place="{_text(row.place)}"{opened}>'
    )
    notes = [row.effect, row.dead, "refused here" if row.refused else ""]
    note = "; ".join(each for each in notes if each)
    shown = f' <span class="rejected">{_text(note)}</span>' if note else ""
    yield f'<summary><span class="pc">{row.insn}</span>{_text(row.text)}{shown}</summary>'
    if not row.visits:
        yield '<p class="dim">No path that was walked reaches it.</p>'
    else:
        times = "1 visit" if row.visits == 1 else f"all of {row.visits} visits"
        yield _known(f"before ({times})", row.before)
        for way in row.after:
            yield from _way(number, way)
    yield "</details>"


def _way(number: int, way: Way) -> Iterator[str]:
    known = way.changed | dict.fromkeys(way.lost, "(not known any more)")
    title = f'after, to <a href="#p{number}i{way.target}">{way.target}</a>'
    yield _known(f"{title}{'' if known else ': nothing changed'}", known)


def _known(title: str, known: Known) -> str:
    rows = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(text)}</td></tr>" for name, text in known.items()
    )
    return f'<table class="known"><caption>{title}</caption>{rows}</table>'

"""The page: what it holds, that it is well-formed and alone, and what it does in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from skep.session.assembly import request_of
from skep.session.page import page
from skep.session.page_model import Chapter, chapter
from skep.session.verdicts import Examined, Verdict, examine_file

OBJECTS = Path(__file__).parents[2] / "objects"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
VOID = ("meta", "input", "br")


def chapters(name: str) -> list[Chapter]:
    return [chapter(examined) for examined in examine_file(OBJECTS / f"{name}.bpf.o")]


@pytest.fixture(name="refused", scope="module")
def _refused() -> str:
    return page("refused.bpf.o", chapters("refused"))


class Outline(HTMLParser):
    """Elements with an id, and links; complains of what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src"):
                (self.links if (value or "").startswith("#") else self.outside).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    found.close()
    return found


@pytest.mark.parametrize("name", ["refused", "counter", "legacy", "ops"])
def test_a_page_is_well_formed_and_its_links_lead_somewhere(name: str) -> None:
    found = outline(page(name, chapters(name)))

    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links} <= set(found.ids)


def test_a_page_loads_nothing(refused: str) -> None:
    assert outline(refused).outside == []
    assert "default-src 'none'" in refused
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", refused)


def test_states_stand_before_and_after_each_instruction() -> None:
    (count, *_) = chapters("counter")
    row = next(row for row in count.rows if row.insn == 33)

    assert row.before["R0"] == "map_value_or_null(id=1,map=counts,ks=4,vs=8)"
    assert {way.target: way.changed["R0"] for way in row.after} == {
        34: "0", 43: "map_value(map=counts,ks=4,vs=8)",
    }  # fmt: skip


def test_the_causal_path_is_marked(refused: str) -> None:
    (_, no_null_check, _) = chapters("refused")

    assert no_null_check.blamed == {"refused.bpf.c:22", "refused.bpf.c:24"}
    assert 'id="p1i6" class="path" data-place="refused.bpf.c:22"' in refused
    assert 'id="p1i8" class="path refused" data-place="refused.bpf.c:24" open' in refused


def test_what_is_dead_says_so() -> None:
    text = "r6 = *(u32 *)(r1 + 0)\nr6 &= 7\nif r6 > 9 goto +2\nr0 = 1\nexit\nr0 = 2\nexit"
    examined = Examined(Verdict(file="x.s", verdict="accepted"), request_of(text, None))
    made = page("x", [chapter(examined)])

    assert "never taken because R6=scalar(" in made
    assert 'id="p0i5" class="unreached"' in made


def test_what_a_file_says_cannot_become_markup() -> None:
    bad = Verdict(file="<b>", program="<script>alert(1)</script>", message="&lt;\x1b[31m")
    made = page("</title>", [chapter(Examined(bad))])

    assert "<script>alert" not in made
    assert "&amp;lt;?[31m" in made
    assert made.count("</title>") == 1


PROBE = """<script>
var report = {};
var box = document.getElementById("search");
function visible() { return document.querySelectorAll(".insns details:not(.hidden)").length; }
report.tools = !document.getElementById("tools").hidden;
report.before = visible();
box.value = "BPF_MAP_LOOKUP"; box.dispatchEvent(new Event("input"));
report.found = visible();
report.count = document.getElementById("count").textContent;
box.value = ""; box.dispatchEvent(new Event("input"));
report.again = visible();
document.getElementById("p1i6").dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
report.hot = Array.from(document.querySelectorAll(".source .hot")).map(function (p) {
  return p.dataset.place; });
var all = document.getElementById("all");
all.checked = true; all.dispatchEvent(new Event("change"));
report.open = document.querySelectorAll(".insns details[open]").length;
report.fetched = performance.getEntriesByType("resource").length;
document.body.dataset.report = JSON.stringify(report);
</script></body>"""


def test_search_and_highlight_work_in_a_browser(refused: str, tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)}")
    file = tmp_path / "page.html"
    file.write_text(refused.replace("</body>", PROBE))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    match = re.search(r'data-report="([^"]*)"', done.stdout)
    assert match is not None, done.stderr
    report = json.loads(match[1].replace("&quot;", '"'))
    total = sum(len(each.rows) for each in chapters("refused"))

    assert report == {
        "tools": True, "before": total, "found": 1, "count": "1 instructions", "again": total,
        "hot": ["refused.bpf.c:22"], "open": total, "fetched": 0,
    }  # fmt: skip

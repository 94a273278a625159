"""The page: well formed, nothing loaded, nothing run, readable where a browser shows it."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest

from tests.probing.probes import EXPLODES, FAST, INFINITE, SILENT, layer, norm, probe, run
from zeroinit_cli.probing.judge import judge
from zeroinit_cli.probing.page import page_of
from zeroinit_cli.probing.plots import Plot, svg
from zeroinit_cli.probing.report import Probe

_VOID = {"meta", "br"}
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def page(found: Probe) -> str:
    return page_of(found, judge(found))


class Tree(HTMLParser):
    """Refuses what is not closed, and keeps ids and references."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.links: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "aria-labelledby":
                self.labels += (value or "").split()
            if name in ("href", "src", "srcset", "action") or name.startswith("on"):
                self.links.append(f"{name}={value}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


PROBES = {"explodes": EXPLODES, "too fast": FAST, "infinite": INFINITE, "silent": SILENT}


@pytest.mark.parametrize("name", sorted(PROBES))
def test_the_page_is_well_formed_and_needs_nothing(name: str) -> None:
    text = page(PROBES[name])
    tree = Tree(text)
    assert tree.links == []
    assert "script" not in tree.seen
    assert not re.search(r"url\(|@import|https?:", text)
    assert len(tree.ids) == len(set(tree.ids))
    assert tree.labels
    assert set(tree.labels) == set(tree.ids)
    assert text.count("<svg") - text.count('aria-hidden="true"') == text.count('role="img"')
    assert page(PROBES[name]) == text


def test_the_verdict_stands_on_top_and_every_layer_in_the_table() -> None:
    text = page(EXPLODES)
    body = text.partition("<main>")[2]
    verdict = (
        "Likely not: 1 norm sees channels without variance, largest gradient 3.5e7 against 2.0"
    )
    assert body.index(verdict) < body.index("<table")
    assert "Hint: --policy default" in text
    for name in ("conv", "norm"):
        assert f'<th scope="row">{name}</th>' in text


def test_a_name_from_a_model_is_text() -> None:
    evil = "</style></title><script>alert(1)</script>\x1b[2J\u202e&\"'"
    start = run(layer(evil), norm("norm"), never=(evil,))
    found = probe(start, run(layer(evil), norm("norm")))
    found = replace(found, conditions=replace(found.conditions, source=evil, start=evil))
    text = page(found)
    assert "script" not in Tree(text).seen
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text


def points(picture: str, kind: str) -> list[tuple[float, float]]:
    found = re.search(rf'<path class="{kind}" d="([^"]*)"', picture)
    assert found is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", found[1])]


def test_a_decade_is_as_long_as_another_and_more_is_higher() -> None:
    plot = Plot(
        id="a",
        title="t",
        text="d",
        across="x",
        labels=("1", "2", "3", "4", "5"),
        start=(1.0, 10.0, 100.0, 0.0, None),
        own=(1.0, 1.0, 1.0, 1.0, 1.0),
    )
    picture = svg(plot, 336, 260)
    one, ten, hundred, nothing, infinite = (y for _, y in points(picture, "start"))
    assert one - ten == pytest.approx(ten - hundred, abs=0.11)
    assert infinite < hundred < ten < one < nothing
    xs = [x for x, _ in points(picture, "own")]
    assert xs == sorted(xs)
    assert 0 < xs[0] < xs[-1] < 336
    assert "<title>4, this start: 0</title>" in picture
    assert "<title>5, this start: not finite</title>" in picture
    assert ">not finite</text>" in picture


def test_one_layer_and_equal_numbers_can_be_drawn() -> None:
    plot = Plot(id="a", title="t", text="d", across="x", labels=("1",), start=(0.0,), own=(0.0,))
    assert len(points(svg(plot, 336, 260), "start")) == 1


def measured(folder: Path, text: str, width: int) -> tuple[int, int]:
    """The width that a browser gives the page and the width that its content takes, tables open."""
    # A browser window may have a least width of its own, and a frame has none. The copy lacks the
    # policy that forbids scripts, and has one that measures.
    script = (
        "<script>document.querySelectorAll('details').forEach(each => each.open = true);"
        "const table = document.querySelector('.sides').getBoundingClientRect().right;"
        "const most = Math.max(document.documentElement.scrollWidth, Math.ceil(table));"
        "parent.postMessage([innerWidth, most], '*')</script>"
    )
    copy = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", f"{script}</body>")
    (folder / "page.html").write_text(copy)
    (folder / "frame.html").write_text(
        "<!doctype html><html><body><script>onmessage = event => "
        "document.documentElement.dataset.found = event.data.join(' ')</script>"
        f'<iframe src="page.html" width="{width}" height="700"></iframe></body></html>'
    )
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=5000",
            "--window-size=1400,900",
            "--dump-dom",
            (folder / "frame.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'data-found="(\d+) (\d+)"', done.stdout)
    assert found is not None, done.stdout
    return int(found[1]), int(found[2])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_sticks_out_at_the_width_of_a_phone_and_of_a_desk(
    tmp_path: Path, width: int
) -> None:
    long = "features.denseblock4.denselayer16.a_name_without_any_place_to_break_it" * 2
    start = run(
        layer(long, gradient=3.5e7, units=1920, distinct=1234), norm("norm", 14), never=(long,)
    )
    own = run(layer(long, units=1920, distinct=1920), norm("norm"))
    inside, taken = measured(tmp_path, page(probe(start, own)), width)
    assert inside == pytest.approx(width, abs=20)  # less a scroll bar
    assert taken <= inside


def named(text: str, width: int) -> list[str]:
    found = re.search(rf'<svg class="w{width}".*?</svg>', text, re.DOTALL)
    assert found is not None
    return re.findall(r'<text class="name"[^>]*>([^<]*)</text>', found[0])


def test_the_layers_that_are_farthest_from_torchs_own_are_named_in_the_plot() -> None:
    gradients = {"usual": 2.0, "wild & far": 5e6, "wilder": 7e7, "closed": 0.0}
    layers = tuple(layer(name, gradient=value) for name, value in gradients.items())
    own = tuple(layer(name) for name in gradients)
    text = page(probe(run(*layers), run(*own)))
    assert named(text, 1040) == ["wilder", "wild &amp; far"]
    assert len(named(text, 336)) <= 2
    assert named(page(probe(run(*own), run(*own))), 1040) == []


def test_names_in_a_plot_do_not_cover_each_other() -> None:
    names = [f"a.layer.with.a.long.name.{number}" for number in range(60)]
    layers = tuple(layer(name, gradient=1e6 + at) for at, name in enumerate(names))
    text = page(probe(run(*layers), run(*map(layer, names))))
    [wide] = re.findall(r'<svg class="w1040".*?</svg>', text, re.DOTALL)[:1]
    places = [float(x) for x in re.findall(r'<text class="name" x="([0-9.]+)"', wide)]
    assert len(places) > 1
    assert all(abs(one - other) > 100 for one, other in combinations(places, 2))


def test_thresholds_are_told_in_words() -> None:
    told = " ".join(page(EXPLODES).split())
    assert "1,000,000 times that of torch's own or more" in told
    assert "gradient_ratio" not in told

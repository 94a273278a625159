"""Plots as inline SVG, without any library: one line for each start, over layers or steps."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from zeroinit_cli.probing.report import number
from zeroinit_cli.text import shortened

Values = Sequence[float | None]
"""One number a layer; None where it is not finite."""

_TOP, _BOTTOM, _LEFT, _RIGHT = 14, 34, 52, 12
_APART = 24  # pixels between the decades and the lines for 0 and infinity
_LEAST_DECADES, _MOST_TICKS = 2, 7
_FOR_A_NAME, _MOST_LETTERS, _LETTER = 168, 30, 6.6  # pixels of width; letters; pixels of one
_LEAST_APART = 1.0  # powers of ten from torch's own, for a layer to be named
_MARKS = 60  # points that have large marks; more of them get small ones


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Numbers of two starts over the same layers or steps.

    Attributes:
        id: of its elements, unlike any other of the page.
        title: what a reader who sees nothing is told first.
        text: and then.
        across: what goes to the right, in words.
        labels: of each layer or step.
        start: of the start that is asked about.
        own: of torch's own.
        logarithmic: decades; else evenly spaced.
    """

    id: str
    title: str
    text: str
    across: str
    labels: Sequence[str]
    start: Values
    own: Values
    logarithmic: bool = True


def svg(plot: Plot, width: int, height: int) -> str:
    """Draw the plot for one width of screen, in pixels."""
    scale = _Scale(plot, width, height)
    parts = [
        f'<svg class="w{width}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="{plot.id}-{width}-t {plot.id}-{width}-d">',
        f'<title id="{plot.id}-{width}-t">{escape(plot.title)}</title>',
        f'<desc id="{plot.id}-{width}-d">{escape(plot.text)}</desc>',
        *_axes(plot, scale),
        *_series(plot.own, plot, scale, "own", "torch's own"),
        *_series(plot.start, plot, scale, "start", "this start"),
        *_names(plot, scale),
        "</svg>",
    ]
    return "".join(parts)


class _Scale:
    """A scale from numbers to pixels: 0 has a line below all decades, infinity one above.

    Args:
        plot: whose numbers.
        width: of the picture.
        height: of it.
    """

    def __init__(self, plot: Plot, width: int, height: int):
        self.width, self.height = width, height
        self.logarithmic = plot.logarithmic
        values = [*plot.start, *plot.own]
        finite = [value for value in values if value is not None]
        self.infinite = any(value is None for value in values)
        if plot.logarithmic:
            powers = [math.log10(value) for value in finite if value > 0]
            self.low = math.floor(min(powers, default=0.0))
            self.high = max(math.ceil(max(powers, default=1.0)), self.low + _LEAST_DECADES)
        else:
            self.low = min(0, math.floor(min(finite, default=0)))
            self.high = max(math.ceil(max(finite, default=1)), self.low + 1)
        self.zero = plot.logarithmic and any(value <= 0 for value in finite)
        self._count = max(len(plot.labels) - 1, 1)

    def x(self, index: int) -> float:
        return _LEFT + (self.width - _LEFT - _RIGHT) * index / self._count

    def y(self, value: float | None) -> float:
        top, bottom = _TOP + _APART * self.infinite, self.height - _BOTTOM - _APART * self.zero
        if value is None:
            return float(_TOP)
        if self.logarithmic:
            if value <= 0:
                return float(self.height - _BOTTOM)
            value = math.log10(value)
        share = (value - self.low) / (self.high - self.low)
        return bottom - (bottom - top) * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[int]:
        """List decades from the top down, so that the largest has a line; others from below."""
        step = max(1, math.ceil((self.high - self.low) / (_MOST_TICKS - 1)))
        if self.logarithmic:
            return list(range(self.high, self.low - 1, -step))
        return list(range(self.low, self.high + 1, step))


def _axes(plot: Plot, scale: _Scale) -> Iterator[str]:
    right, bottom = scale.width - _RIGHT, scale.height - 10
    lines = [
        (scale.y(10.0**tick), _power(tick)) if plot.logarithmic else (scale.y(tick), str(tick))
        for tick in scale.ticks()
    ]
    if scale.zero:
        lines.append((scale.y(0.0), "0"))
    for y, label in lines:
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    if scale.infinite:
        yield f'<text class="tick" x="{_LEFT}" y="{scale.y(None) - 2:.1f}" text-anchor="start">'
        yield "not finite</text>"
    yield f'<text class="tick" x="{_LEFT}" y="{bottom}">{escape(plot.across)}</text>'
    last = len(plot.labels) - 1
    if last > 0:
        end = last + 1 if plot.logarithmic else last
        yield f'<text class="tick" x="{right}" y="{bottom}" text-anchor="end">{end}</text>'


def _power(power: int) -> str:
    if -3 <= power <= 4:
        return f"{10.0**power:g}"
    raised = f'<tspan dy="-4" font-size="9">{power}</tspan>'
    return f"10{raised}"


def _series(values: Values, plot: Plot, scale: _Scale, kind: str, label: str) -> Iterator[str]:
    points = [(scale.x(index), scale.y(value)) for index, value in enumerate(values)]
    path = "".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(points))
    yield f'<path class="{kind}" d="{path}" fill="none"/>'
    radius = 3.5 if len(points) <= _MARKS else 2.0
    for (x, y), value, name in zip(points, values, plot.labels, strict=True):
        told = f"{name}, {label}: {number(value)}"
        yield _mark(kind, x, y, radius if value is not None else radius + 1, told)


def _names(plot: Plot, scale: _Scale) -> Iterator[str]:
    """Write names at the layers that differ most from torch's own, where there is room."""
    if not plot.logarithmic:
        return
    taken: list[tuple[float, float, float, float]] = []
    for index in sorted(range(len(plot.labels)), key=lambda at: -_apart(plot, at)):
        if len(taken) == scale.width // _FOR_A_NAME or _apart(plot, index) < _LEAST_APART:
            return
        name = shortened(plot.labels[index], _MOST_LETTERS)
        x, y = scale.x(index), scale.y(plot.start[index])
        above = y <= scale.y(plot.own[index]) or y + 17 > scale.height - _BOTTOM
        y += -9 if above and y - 9 > 10 else 17
        half = len(name) * _LETTER / 2
        middle = min(max(x, _LEFT + half), scale.width - _RIGHT - half)
        box = middle - half, middle + half, y - 14, y + 4
        if any(box[0] < b and a < box[1] and box[2] < d and c < box[3] for a, b, c, d in taken):
            continue
        taken.append(box)
        yield f'<text class="name" x="{middle:.1f}" y="{y:.1f}" text-anchor="middle">'
        yield f"{escape(name)}</text>"


def _apart(plot: Plot, index: int) -> float:
    """Measure how many powers of ten the two starts lie apart at a layer."""
    start, own = plot.start[index], plot.own[index]
    if start is None or own is None:
        return 0.0 if start is own else math.inf
    if start <= 0 or own <= 0:  # closed at first, as branches are: nothing to look at
        return 0.0
    return abs(math.log10(start / own))


def _mark(kind: str, x: float, y: float, radius: float, told: str) -> str:
    """Draw a circle for the start, a square for torch's, so that no colour is needed."""
    title = f"<title>{escape(told)}</title>"
    if kind == "start":
        return f'<circle class="start" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{title}</circle>'
    side = 1.6 * radius
    return (
        f'<rect class="own" x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}" '
        f'height="{side:.1f}">{title}</rect>'
    )

"""What probe says beside what then trained: python -m evidence.probe_verdicts [--set SET].

SET is `held-out`, nets that no threshold was chosen by, or `calibration`, those that were. Each net
is trained from torch's own start and from three of ZerO's, at three learning rates or four; each of
ZerO's is probed as `zeroinit probe` does. The results go to evidence/probe_verdicts.json, and the
tables into evidence/probe_verdicts.md.
"""

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.probe_cases import Net, calibration, held_out
from evidence.report import put_between
from evidence.starts import start
from evidence.training import Outcome, Recipe, threads, train
from zeroinit_cli.models.inputs import Inputs, Kind
from zeroinit_cli.options import Options
from zeroinit_cli.policies import PAPER
from zeroinit_cli.probing.judge import Will, gradient_ratio, judge
from zeroinit_cli.probing.run import probe_subject, subject_of
from zeroinit_cli.probing.setting import Setting
from zeroinit_cli.source import installed

RATES = {"sgd": (0.01, 0.05, 0.2), "adamw": (0.001, 0.003, 0.01)}
_SMALLER = 5  # times: the rate that is tried, too, where the smallest was the best
ENOUGH = 0.9  # of torch's own progress: then it trained
HALF = 0.5  # of it: then it trains, if slowly
_LEAST = 0.1  # of the loss of guessing: less than this is no progress, whoever's it is
_STARTS = {
    "zero": Options(),
    "zero-paper": Options(policy=PAPER),
}
_NONE = 0.05  # of progress from torch's own start: a share of less would mean nothing
_LABELS = {"zero": "default", "zero-paper": "paper"}
_HEADINGS = (
    "net",
    "start",
    "probe says",
    "gradient ratio",
    "moved",
    "flat, %",
    "went well at",
    "loss fell, % of torch's",
    "best rate",
    "trained",
    "",
)
_FOLDER = Path(__file__).resolve().parent
_RESULTS, _DOCUMENT = _FOLDER / "probe_verdicts.json", _FOLDER / "probe_verdicts.md"
_SETS = {"held-out": held_out, "calibration": calibration}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One start of one net.

    Attributes:
        net: its name.
        start: of `_LABELS`.
        verdict: what probe says, in a word.
        reasons: why.
        suggested: the largest learning rate that probe saw go well.
        ratio: largest gradient over that of torch's own start.
        moved: how far the first step moves a weight.
        flat: share of norm channels without variance.
        progress: how far the training loss fell below that of guessing, at the best rate.
        torchs: the same from torch's own start.
        rate: that best rate.
        trained: it is 90 % of torch's own.
    """

    net: str
    start: str
    verdict: str
    reasons: list[str]
    suggested: float | None
    ratio: float | None
    moved: float | None
    flat: float
    progress: float
    torchs: float
    rate: float
    trained: bool

    @property
    def at_all(self) -> bool:
        """Whether the loss fell half as far as from torch's own start."""
        return self.trained or self.progress >= HALF * self.torchs > 0

    @property
    def right(self) -> bool | None:
        """Whether the verdict was; None where it is none."""
        if self.verdict == Will.UNCERTAIN.value:
            return None
        return self.trained == (self.verdict != Will.NOT.value)


def main() -> int:
    """Measure one set, or both, and write what came of it."""
    parser = argparse.ArgumentParser(prog="evidence.probe_verdicts", description=__doc__)
    parser.add_argument("--set", choices=sorted(_SETS), default="held-out")
    parser.add_argument("--net", help="only those whose name contains this; nothing is written")
    parser.add_argument("--tables", action="store_true", help="write them again; measure nothing")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    arguments = parser.parse_args()
    if arguments.tables:
        for which, found in json.loads(_RESULTS.read_text(encoding="utf-8")).items():
            cases = [Case(**each) for each in found["cases"]]
            update_document(_DOCUMENT, which, cases, found["seconds"])
        return 0
    began = time.perf_counter()
    nets = [each.name for each in _SETS[arguments.set]() if (arguments.net or "") in each.name]
    cases = _measure_all(arguments.set, nets, arguments.jobs)
    seconds = time.perf_counter() - began
    print("\n".join(_tables(cases)))
    if arguments.net is None:
        _write(arguments.set, cases, seconds)
    return 0


def _measure_all(which: str, nets: Sequence[str], jobs: int) -> list[Case]:
    """In processes of their own; the order is that of the set."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        found = pool.map(_measure_one, [which] * len(nets), nets)
        return [case for cases in found for case in cases]


def _measure_one(which: str, name: str) -> list[Case]:
    [net] = [each for each in _SETS[which]() if each.name == name]
    return list(measured(net))


def measured(net: Net) -> Iterator[Case]:
    """The three starts of a net."""
    with threads(1):
        data = net.data()
        own, _ = _best(net, "torch", data)
        examples = data.train.inputs
        inputs = Inputs(
            where=net.name,
            kind=Kind.ARRAYS,
            shapes=(("", tuple(examples.shape[1:])),),
            tokens=not examples.is_floating_point(),
        )
        for name, options in _STARTS.items():
            probe = probe_subject(subject_of(net.factory, options, inputs), Setting())
            verdict = judge(probe)
            progress, rate = _best(net, name, data)
            yield Case(
                net=net.name,
                start=_LABELS[name],
                verdict=verdict.kind.value,
                reasons=list(verdict.reasons),
                suggested=verdict.learning_rate,
                ratio=gradient_ratio(probe.run, probe.torch),
                moved=probe.run.moved,
                flat=probe.run.flat / max(probe.run.channels, 1),
                progress=progress,
                torchs=own,
                rate=rate,
                trained=progress >= max(ENOUGH * own, _LEAST * math.log(data.classes)),
            )
            print(f"{net.name}, {_LABELS[name]}", file=sys.stderr, flush=True)


def _best(net: Net, name: str, data: Any) -> tuple[float, float]:
    """The most progress of the training loss, and the rate that made it."""

    def progress(rate: float) -> float:
        recipe = Recipe(
            optimizer=net.optimizer, learning_rate=rate, steps=net.steps, batch=net.batch
        )
        outcome: Outcome = train(start(net.factory, name), data, recipe, seed=0)
        return math.log(data.classes) - outcome.train_loss

    rates = RATES[net.optimizer]
    best = max((progress(rate), rate) for rate in rates)
    if best[1] == min(rates):
        smaller = min(rates) / _SMALLER
        best = max(best, (progress(smaller), smaller))
    return best


def _write(which: str, cases: Sequence[Case], seconds: float) -> None:
    """Whole or not at all; the other set's results stay."""
    known: dict[str, Any] = {}
    if _RESULTS.exists():
        known = json.loads(_RESULTS.read_text(encoding="utf-8"))
    known[which] = {
        "cases": [asdict(case) for case in cases],
        "seconds": round(seconds),
        "versions": installed("torch", "torchvision"),
    }
    part = _RESULTS.with_suffix(".part")
    part.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(_RESULTS)
    update_document(_DOCUMENT, which, cases, seconds)


def update_document(path: Path, which: str, cases: Sequence[Case], seconds: float) -> None:
    """Put a set's tables between its markers.

    Raises:
        ValueError: they are not there.
    """
    nets = len({case.net for case in cases})
    took = f"{len(cases)} starts of {nets} nets, {seconds / 60:.0f} minutes."
    put_between(path, which, "\n".join([took, "", *_tables(cases), ""]))


def _tables(cases: Sequence[Case]) -> Iterator[str]:
    yield "| probe says | trained | half as far | did not |"
    yield "| --- | ---: | ---: | ---: |"
    counts = Counter((case.verdict, case.trained, case.at_all) for case in cases)
    for will in Will:
        outcomes = ((True, True), (False, True), (False, False))
        row = " | ".join(str(counts[will.value, *outcome]) for outcome in outcomes)
        yield f"| {_said(will.value)} | {row} |"
    told = [case for case in cases if case.right is not None]
    right = sum(bool(case.right) for case in told)
    yield ""
    yield (
        f"Of {len(told)} verdicts {right} were right; {len(cases) - len(told)} of {len(cases)} "
        "starts were uncertain."
    )
    yield ""
    yield f"| {' | '.join(_HEADINGS)} |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |"
    for case in cases:
        share = f"{100 * case.progress / case.torchs:.0f}" if case.torchs > _NONE else "-"
        mark = {True: "", False: "**wrong**", None: "-"}[case.right]
        yield (
            f"| {case.net} | {case.start} | {_said(case.verdict)} | {_number(case.ratio)} | "
            f"{_number(case.moved)} | {100 * case.flat:.0f} | {_number(case.suggested)} | "
            f"{share} | {case.rate:g} | "
            f"{'yes' if case.trained else 'no'} | {mark} |"
        )


def _said(verdict: str) -> str:
    return verdict.replace("-", " ")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if value < 1000 else f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


if __name__ == "__main__":
    sys.exit(main())

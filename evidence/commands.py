"""What `plan --strict` and `probe` say of well-known models: python -m evidence.commands.

The classifiers of torchvision, the smallest first, and the BERT, GPT, ViT and Llama of model_specs,
Llama with fewer and narrower layers for probe. Each answer lies in evidence/results/commands.jsonl
at once, so that a run that is out of its minutes goes on where it stopped. The table of what there
is goes into evidence/first_steps.md.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evidence.report import put_between
from evidence.starts import classification_models, parameters_of, plan_of

_FOLDER = Path(__file__).resolve().parent
_DOCUMENT = _FOLDER / "first_steps.md"
_ANSWERS = _FOLDER / "results" / "commands.jsonl"
_SPECS = _FOLDER.parent / "model_specs"
_LLAMA = "llama3-8b.yaml"
_NARROWER = {  # of Llama's 8 billion parameters
    "vocab_size: 128256": "vocab_size: 4096",
    "max_seq_len: 8192": "max_seq_len: 256",
    "num_layers: 32": "num_layers: 8",
    "num_heads: 32": "num_heads: 8",
    "num_kv_heads: 8": "num_kv_heads: 2",
    "hidden_dim: 4096": "hidden_dim: 256",
    "mlp_dim: 14336": "mlp_dim: 896",
    "  dtype: bfloat16": "  dtype: float32",
}
_PIXELS = {"alexnet": 224}
"""Of probe's images, where its own 96 leave one cell of 36, whose copies make equal units."""
_GOOD = "will train"
_OF_SPECS = ("bert-base.yaml", "gpt2-124m.yaml", "vit-b-16.yaml", _LLAMA)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the two commands said of one source.

    Attributes:
        source: its name.
        plan: digest of its plan.
        strict: the exit code of `plan --strict`.
        verdict: of `probe`, in words.
        ratio: ZerO's largest gradient over that of torch's start, at step 0.
    """

    source: str
    plan: str
    strict: int
    verdict: str
    ratio: float


def main() -> int:
    """Ask both commands of every source; 1 if one is not as the default should be."""
    parser = argparse.ArgumentParser(prog="evidence.commands", description=__doc__)
    parser.add_argument("--minutes", type=float, default=math.inf, help="ask none after these")
    minutes, started = parser.parse_args().minutes, time.perf_counter()
    sources = [*_OF_SPECS, *sorted(classification_models(), key=parameters_of)]
    known, answers = _stored(), []
    for source in sources:
        plan = plan_of(_path(source)).digest()
        answer = known.get((source, plan))
        if answer is None and time.perf_counter() - started < 60 * minutes:
            answer = _answer(source, plan)
            with _ANSWERS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(answer)) + "\n")
        if answer is not None:
            answers.append(answer)
    put_between(_DOCUMENT, "commands", markdown(answers, of=sources))
    return int(any(each.strict or each.verdict != _GOOD for each in answers))


def _stored() -> dict[tuple[str, str], Answer]:
    """What was answered before, by source and plan."""
    _ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    lines = _ANSWERS.read_text(encoding="utf-8").splitlines() if _ANSWERS.exists() else []
    answers = (Answer(**json.loads(line)) for line in lines)
    return {(each.source, each.plan): each for each in answers}


def _path(source: str) -> str:
    return str(_SPECS / source) if source in _OF_SPECS else source


def _asked(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "zeroinit_cli", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def smaller(folder: Path) -> Path:
    """Llama as a spec that a laptop trains."""
    text = (_SPECS / _LLAMA).read_text(encoding="utf-8")
    for large, small in _NARROWER.items():
        if text.count(f"{large}\n") != 1:
            raise ValueError(f"{_LLAMA} has no line {large.strip()}")
        text = text.replace(f"{large}\n", f"{small}\n")
    path = folder / _LLAMA
    path.write_text(text, encoding="utf-8")
    return path


def _answer(source: str, plan: str) -> Answer:
    """Of what the two commands give."""
    strict = _asked("plan", _path(source), "--strict").returncode
    with tempfile.TemporaryDirectory() as folder:
        probed = str(smaller(Path(folder))) if source == _LLAMA else _path(source)
        pixels = ["--image-size", str(_PIXELS[source])] if source in _PIXELS else []
        report = json.loads(_asked("probe", probed, "--json", *pixels).stdout)
    start, own = (report[which]["largest_gradient"] for which in ("start", "torch"))
    verdict: str = report["verdict"]["text"]
    return Answer(source=source, plan=plan, strict=strict, verdict=verdict, ratio=start / own)


def markdown(answers: Sequence[Answer], of: Sequence[str]) -> str:
    """The table; what is not as the default should be is in bold.

    Args:
        answers: what there is.
        of: all sources that were to be asked.
    """
    good = sum(each.strict == 0 and each.verdict == _GOOD for each in answers)
    lines = [
        f"Of {len(answers)} asked, `plan` warns of nothing and `probe` says will train: {good}.",
        "",
    ]
    if missing := sorted(set(of) - {each.source for each in answers}):
        lines = [f"Not asked yet: {', '.join(missing)}.", "", *lines]
    lines.append("| source | `plan --strict` | `probe` | gradient, times torch's |")
    lines.append("| --- | ---: | --- | ---: |")
    for each in answers:
        strict = str(each.strict) if each.strict == 0 else f"**{each.strict}**"
        verdict = each.verdict if each.verdict == _GOOD else f"**{each.verdict}**"
        lines.append(f"| {each.source} | {strict} | {verdict} | {each.ratio:.2g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

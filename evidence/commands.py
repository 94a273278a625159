"""What `plan --strict` and `probe` say of well-known models: python -m evidence.commands.

The smallest classifiers of torchvision, and the BERT, GPT, ViT and Llama of model_specs, Llama with
fewer and narrower layers for probe. The table goes into evidence/first_steps.md.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.report import put_between

_FOLDER = Path(__file__).resolve().parent
_DOCUMENT = _FOLDER / "first_steps.md"
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
_GOOD = "will train"
_NAMES = (
    "squeezenet1_1",
    "squeezenet1_0",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "shufflenet_v2_x1_0",
    "mobilenet_v3_small",
    "mnasnet0_75",
    "mobilenet_v2",
    "shufflenet_v2_x1_5",
    "regnet_y_400mf",
    "mnasnet1_0",
    "efficientnet_b0",
    "bert-base.yaml",
    "gpt2-124m.yaml",
    "vit-b-16.yaml",
    _LLAMA,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the two commands said of one source.

    Attributes:
        source: its name.
        strict: the exit code of `plan --strict`.
        verdict: of `probe`, in words.
        ratio: ZerO's largest gradient over that of torch's start, at step 0.
    """

    source: str
    strict: int
    verdict: str
    ratio: float


def main() -> int:
    """Ask both commands of every source; 1 if one is not as the default should be."""
    answers = list(_answers())
    put_between(_DOCUMENT, "commands", markdown(answers))
    return int(any(each.strict or each.verdict != _GOOD for each in answers))


def _answers() -> Iterator[Answer]:
    with tempfile.TemporaryDirectory() as folder:
        for name in _NAMES:
            source = str(_SPECS / name) if name.endswith(".yaml") else name
            strict = _asked("plan", source, "--strict").returncode
            probed = str(smaller(Path(folder))) if name == _LLAMA else source
            report = json.loads(_asked("probe", probed, "--json").stdout)
            yield _answer(name, strict, report)


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


def _answer(name: str, strict: int, report: dict[str, Any]) -> Answer:
    """Of what the two commands gave."""
    start, own = (report[which]["largest_gradient"] for which in ("start", "torch"))
    return Answer(source=name, strict=strict, verdict=report["verdict"]["text"], ratio=start / own)


def markdown(answers: Sequence[Answer]) -> str:
    """The table; what is not as the default should be is in bold."""
    lines = ["| source | `plan --strict` | `probe` | gradient, times torch's |"]
    lines.append("| --- | ---: | --- | ---: |")
    for each in answers:
        strict = str(each.strict) if each.strict == 0 else f"**{each.strict}**"
        verdict = each.verdict if each.verdict == _GOOD else f"**{each.verdict}**"
        lines.append(f"| {each.source} | {strict} | {verdict} | {each.ratio:.2g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

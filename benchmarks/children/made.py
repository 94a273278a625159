"""A plan made by hand, of any size, without a model: write, verify and hash its file.

python -m benchmarks.children.made mixed BYTES PATH
python -m benchmarks.children.made embedding DTYPE PATH
python -m benchmarks.children.made rule NAME PATH

`mixed` is what a large model is made of, every byte of it written: expansions, identities and
their partial forms, no whole tensor of zeros. `embedding` is one table of 256,000 x 8,192. `rule`
is some 256 MB by one rule.
"""

import json
import sys
from itertools import cycle
from pathlib import Path

from benchmarks.children.steps import measure_plan
from benchmarks.children.timing import Figures
from zeroinit_cli.dtypes import BY_NAME, F32, DType
from zeroinit_cli.plans import policy
from zeroinit_cli.plans.plan import Plan, PlannedTensor, TensorInfo
from zeroinit_cli.plans.rules import Rule, Shape
from zeroinit_cli.policies import DEFAULT, PAPER

_WIDTH = 4096
RULES: dict[str, tuple[Rule, Shape]] = {
    "Sylvester's expansion": (policy.linear((16_384, 4_096), PAPER), (16_384, 4_096)),
    "twisted expansion": (policy.linear((16_384, 4_096), DEFAULT), (16_384, 4_096)),
    "twisted contraction": (policy.flattened_kernel((4_096, 16_384), DEFAULT), (4_096, 16_384)),
    "token table of signs": (policy.embedding((65_536, 1_024), None, DEFAULT), (65_536, 1_024)),
    "signs around an identity": (
        policy.convolution((2_688, 2_688, 3, 3), 1, DEFAULT),
        (2_688, 2_688, 3, 3),
    ),
    "signs around an expansion": (
        policy.convolution((5_376, 1_344, 3, 3), 1, DEFAULT),
        (5_376, 1_344, 3, 3),
    ),
    "depthwise signs": (
        policy.convolution((65_536, 1, 31, 31), 65_536, DEFAULT),
        (65_536, 1, 31, 31),
    ),
    "block means": (policy.patch_stem((4_096, 64, 16, 16), DEFAULT), (4_096, 64, 16, 16)),
}
"""A tensor of some 256 MB by each rule that writes more than ones."""


def mixed(nbytes: int) -> Plan:
    """Matrices of at most 256 MB of float32, `nbytes` in all but for a last part of a row."""
    heights = cycle((16_384, 4_096, 2_048))  # an expansion, an identity, a partial identity
    width = min(_WIDTH, max(64, nbytes // _WIDTH))
    rows_left = nbytes // (F32.itemsize * width)
    tensors: list[PlannedTensor] = []
    while rows_left:
        rows = min(next(heights), rows_left)
        rows_left -= rows
        tensors.append(_tensor(f"{len(tensors):06}", (rows, width), F32))
    return Plan(tensors=tuple(tensors))


def table(dtype: DType) -> Plan:
    """One embedding of 256,000 rows of 8,192."""
    return Plan(tensors=(_tensor("embedding.weight", (256_000, 8_192), dtype),))


def ruled(name: str) -> Plan:
    """One tensor by a rule of `RULES`."""
    rule, shape = RULES[name]
    return Plan(tensors=(_tensor("weight", shape, F32, rule),))


def _tensor(name: str, shape: Shape, dtype: DType, rule: Rule | None = None) -> PlannedTensor:
    return PlannedTensor(
        info=TensorInfo(name=name, shape=shape, dtype=dtype),
        rule=rule or policy.linear(shape, DEFAULT),
        reason="made by hand",
        module_type="Linear",
    )


def main() -> None:
    """What the command line asks for."""
    kind, what, path = sys.argv[1:]
    if kind == "rule":
        plan = ruled(what)
    else:
        plan = mixed(int(what)) if kind == "mixed" else table(BY_NAME[what])
    figures: Figures = {}
    sha256 = measure_plan(figures, plan, Path(path))
    print(json.dumps((figures, sha256)))


if __name__ == "__main__":
    main()

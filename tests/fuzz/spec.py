"""Mutants of specs: each is a spec or a SpecError, and its canonical form has its digest."""

from pathlib import Path

from tests.fuzz.mutations import SPEC_WORDS, mutated
from tests.fuzz.target import Target
from zeroinit_cli.errors import SpecError
from zeroinit_cli.spec.blueprint import BuilderBlueprint
from zeroinit_cli.spec.canonical import to_yaml
from zeroinit_cli.spec.check import Spec, parse_spec
from zeroinit_cli.spec.yaml_text import MOST_SPEC_BYTES

ROOT = Path(__file__).parents[2]
_SMALL = 2_000_000
_FEW_LAYERS = 200


def seeds() -> list[bytes]:
    """The specs that mutants come from: those that people know, and as often the wrong ones."""
    good, bad = (
        [path.read_bytes() for path in sorted(ROOT.glob(f"{folder}/*.yaml"))]
        for folder in ("model_specs", "tests/spec/bad")
    )
    return good * (len(bad) // len(good)) + bad


def examine(data: bytes, *, build: bool = False) -> str:
    """What became of one mutant: `wrong`, `valid` or `built`.

    Args:
        data: of a spec.
        build: build what is small with torch, and hold the inferred shapes against it.

    Raises:
        Exception: anything but a SpecError is a finding.
    """
    try:
        spec = parse_spec(data, "mutant.yaml")
    except SpecError as error:
        placed = all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)
        if not (placed and str(error).startswith("error: ")):
            raise TypeError("a message without its place") from error
        return "wrong"
    shown = to_yaml(spec.document).encode()
    if len(shown) <= MOST_SPEC_BYTES:  # of more the command warns, since it cannot be read back
        digest = parse_spec(shown, "shown.yaml").digest()
        assert digest == spec.digest(), "the canonical form has another digest"
    if build and not isinstance(spec.inferred.blueprint, BuilderBlueprint):
        return _built(spec)
    return "valid"


def _built(spec: Spec) -> str:
    """Hold the inferred numbers and shapes against torch, on the meta device."""
    import torch

    from zeroinit_cli.nets import build_blueprint

    inferred = spec.inferred
    if inferred.counts.layers > _FEW_LAYERS or inferred.parameters > _SMALL:
        return "valid"
    with torch.device("meta"):
        module = build_blueprint(inferred.blueprint).eval()
        kind = torch.int64 if inferred.ids else torch.float32
        inputs = [torch.empty(2, *shape, dtype=kind) for _, shape in spec.inputs]
        output = module(*inputs)
    outputs = output if isinstance(output, tuple) else (output,)
    found = [tuple(tensor.shape[1:]) for tensor in outputs]
    assert found == list(inferred.outputs), (found, inferred.outputs)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == inferred.parameters, (count, inferred.parameters)
    return "built"


SPEC = Target(
    name="spec",
    suffix=".yaml",
    seeds=seeds,
    mutate=lambda data, others, chance: mutated(data, others, chance, SPEC_WORDS),
    examine=examine,
)


def _examine_and_build(data: bytes) -> str:
    return examine(data, build=True)


BUILT = Target(
    name="built-spec",
    suffix=".yaml",
    seeds=seeds,
    mutate=SPEC.mutate,
    examine=_examine_and_build,
    most_megabytes=4000,  # torch is among them
)

"""docs/format.md and docs/check.py against the package, safetensors and plain torch."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docs import check
from tests.cli.command import MODEL, here
from tests.golden.make_values import nearest
from tests.models.models import planned
from tests.plans import plan as make_plan
from tests.plans import plan_from_json, tensor
from tests.plans.oracles import ruled_tensors
from zeroinit_cli.dtypes import FLOATS, DType
from zeroinit_cli.plans.rounding import root_bits
from zeroinit_cli.plans.rules import Rule
from zeroinit_cli.store.stream import plan_sha256

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "format.md").read_text()
[VECTOR] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
SHA256 = PAGE.rpartition("has the SHA-256\n`")[2][:64]
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
A, D, LEAST = 2**-1.5, 2**-0.5, 2**-24


def by_hand() -> dict[str, torch.Tensor]:
    """The tensors of the page's plan, entry by entry."""
    eye = torch.eye(2)
    group = [[[0.0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]]
    return {
        "index": torch.tensor(
            [int.from_bytes(bytes(range(at, at + 8)), "little") for at in (0, 8, 16)]
        ),
        "a": torch.tensor([[0.5, 0.5], [0.5, -0.5], [0.5, 0.5]], dtype=torch.float64),
        "mirrored": torch.tensor([[0, 0, 1], [0, 1, 0]], dtype=torch.float64),
        "blocks": torch.tensor(
            [
                [[D, D, 0], [0, 0, 0]],
                [[0, 0, 0], [D, D, 0]],
                [[0, 0, D], [0, 0, 0]],
                [[0, 0, 0], [0, 0, D]],
            ]
        ),
        "centred": A
        * torch.tensor(
            [
                [[-1.0, -2, -1], [-1, -2, -1]],
                [[-1, 2, -1], [1, -2, 1]],
                [[1, 2, -1], [-1, -2, 1]],
            ]
        ),
        "expansion": A
        * torch.tensor([[1.0, 1, 1], [1, -1, 1], [1, 1, -1], [1, -1, -1], [1, 1, 1]]),
        "groups": torch.tensor([*group, *group]),
        "heads": torch.eye(4)[[0, 1, 1, 2, 3, 3]] * torch.tensor([1.0, 1, 0, 1, 1, 0])[:, None],
        "less 1": torch.tensor([-1.0, -1, -1]),
        "lines": torch.tensor(
            [[[1, A, 1], [0, A, 0]], [[0, A, 0], [0, -A, 0]], [[0, A, 0], [0, A, 0]]]
        ),
        "norms": torch.tensor([[[0, 0.75**0.5, 0]]]),
        "ones": torch.ones(3),
        "patch": torch.tensor([[[[1.0, 0], [0, 0]]], [[[0, 1], [0, 0]]]]),
        "qkv": torch.cat([eye, torch.zeros(4, 2)]),
        "scalar": torch.tensor(1.0),
        "small": torch.eye(2, 3) / 16,
        "twisted": A
        * torch.tensor([[-1.0, -1, -1], [1, -1, 1], [1, 1, -1], [1, -1, -1], [1, -1, -1]]),
        "upsampling": torch.tensor([[[1.0, 1], [0, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]]),
        'é "b"': torch.full((4, 1), D).bfloat16(),
        "padded": torch.tensor([[0, 0], [LEAST, -LEAST], [LEAST, LEAST]], dtype=torch.float16),
        "mask": torch.ones(2, dtype=torch.bool),
    }


def test_the_vector_is_what_safetensors_writes_of_the_entries_by_hand() -> None:
    data = safetensors.torch.save(by_hand(), metadata={"format": "pt"})
    assert hashlib.sha256(data).hexdigest() == SHA256


def test_the_vector_is_what_the_package_gives() -> None:
    plan = plan_from_json(json.loads(VECTOR))
    assert plan.digest() == json.loads(VECTOR)["digest"]
    assert plan_sha256(plan) == SHA256


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_the_plan_s_digest_is_that_of_its_canonical_form(count: int) -> None:
    made = make_plan(*(tensor(f"té{number}", (number,)) for number in range(count)))
    text = json.dumps(made.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made.digest() == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_the_vector_is_what_check_gives() -> None:
    plan, holds = check.read_plan(VECTOR.encode())
    assert holds
    assert check.derive(plan) == SHA256


def test_the_vector_has_every_rule() -> None:
    kinds = set(re.findall(r'"rule": "([a-z-]+)"', VECTOR))
    assert kinds == set(check.RULES)


def test_the_table_of_constants_is_the_nearest_to_the_exact_values() -> None:
    from decimal import Decimal, getcontext

    getcontext().prec = 60
    rows = re.findall(r"^\| (-?\d+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", PAGE, re.M)
    assert len(rows) == 10
    for exponent, *cells in rows:
        exact = Decimal(2) ** (Decimal(exponent) / 2)
        for (code, dtype), cell in zip(TYPES.items(), cells, strict=True):
            bits = nearest(exact, dtype).reshape(1).view(torch.uint8).numpy().tobytes()[::-1].hex()
            assert bits == cell, (exponent, code)


def run(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """check.py as people run it: isolated from the package and from everything installed."""
    command = [sys.executable, "-I", "-S", str(ROOT / "docs" / "check.py"), *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_check_derives_the_digest_of_a_real_plan_and_holds_a_file_against_it(
    tmp_path: Path,
) -> None:
    plan = here("plan", MODEL, "--json").out
    made = here("generate", MODEL, "-o", "a.safetensors", cwd=tmp_path).out
    path = tmp_path / "a.safetensors"
    done = run("-", path, text=plan)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{made[:64]}\n", "")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = run("-", path, text=plan)
    assert (done.returncode, done.stderr) == (1, f"differs: the digest of {path}\n")


@pytest.mark.long
def test_check_derives_shards_and_holds_a_folder_and_its_lock_against_them(tmp_path: Path) -> None:
    arguments = (MODEL, "--max-shard-size", "1.5MB")
    plan = here("plan", *arguments, "--json").out
    made = here("generate", *arguments, "-o", "net/", cwd=tmp_path)
    assert made.code == 0, made.err
    folder, lock = tmp_path / "net", tmp_path / "net" / "zeroinit.lock"
    lines = (folder / "model.safetensors.sha256").read_text()
    assert lines.count("\n") == 3  # two shards and their index
    for where in ((folder,), (lock,), ()):
        done = run("-", *where, text=plan)
        assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")
    index = folder / "model.safetensors.index.json"
    index.write_bytes(index.read_bytes() + b"\n")
    done = run("-", folder, text=plan)
    assert (done.returncode, done.stderr) == (1, f"differs: the digest of {index}\n")
    index.write_bytes(index.read_bytes()[:-1])
    for name in ("model.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.bak"):
        (folder / name).write_bytes(b"")  # a loader takes the first for the whole
    done = run("-", folder, text=plan)
    others = [folder / "model-00003-of-00003.safetensors", folder / "model.safetensors"]
    told = "".join(f"differs: {each}, a part of another\n" for each in others)
    assert (done.returncode, done.stderr) == (1, told)
    lock.write_text(lock.read_text().replace(lines.splitlines()[0][:64], "0" * 64))
    done = run("-", lock, text=plan)
    assert (done.returncode, done.stderr) == (1, f"differs: the digest of {lock}\n")
    done = run("-", lock, text=here("plan", MODEL, "--json").out)  # another split
    assert (done.returncode, done.stderr) == (1, f"differs: the digest of {lock}\n")


def test_check_cuts_as_the_package_does() -> None:
    from zeroinit_cli.store.shards import split

    made = planned("maskrcnn_resnet50_fpn")
    for word, most in (("1", 1), ("300KB", 300_000), ("9MB", 9_000_000), ("1TB", 10**12)):
        tensors = [{**each.to_json(), "position": each.position} for each in made.tensors]
        cut = check.cut({"tensors": tensors, "options": {"max-shard-size": word}})
        expected = [[each.info.name for each in one.plan.tensors] for one in split(made, most)]
        assert [[each["name"] for each in one] for one in cut] == expected


def edited(change: str) -> str:
    table: dict[str, Any] = json.loads(VECTOR)
    match change:
        case "rule":
            table["tensors"][5]["rule"] = {"rule": "zeros"}
        case "kept":
            table["kept"] = dict.fromkeys(table["kept"], "AAAA")
        case "scheme":
            table["scheme"] = "zero-9"
        case "order":
            table["tensors"].reverse()
        case "unknown":
            table["tensors"][5]["rule"] = {"rule": "noise"}
        case "parameter":
            table["tensors"][5]["rule"] = {"rule": "zeros", "seed": 1}
        case "shape":
            table["tensors"][2]["rule"]["of"] = {"rule": "viewed", "rows": 5, "of": {}}
        case "missing":
            del table["tensors"][0]["shape"]
        case "text":
            return "not JSON"
    return json.dumps(table)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("rule", 1, "differs: the digest of the plan"),
        ("kept", 2, "unusable: ValueError: the rule of index does not fit its shape"),
        ("scheme", 2, "unusable: ValueError: scheme 'zero-9' is not 'zero-2'"),
        ("order", 2, "unusable: ValueError: tensors twice or not in file order"),
        ("unknown", 2, "unusable: KeyError: 'noise'"),
        ("parameter", 2, "unusable: ValueError: zeros has other parameters: []"),
        ("missing", 2, "unusable: KeyError: 'shape'"),
        ("shape", 2, "unusable: "),
        ("text", 2, "unusable: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_check_refuses_what_is_no_plan(change: str, code: int, message: str) -> None:
    done = run("-", text=edited(change))
    assert done.returncode == code
    assert done.stderr.startswith(message), done.stderr


def test_check_is_one_short_file_of_the_standard_library() -> None:
    lines = (ROOT / "docs" / "check.py").read_text().splitlines()
    assert len(lines) < 460
    imported = {
        line.split()[1].partition(".")[0] for line in lines if line.startswith(("import", "from"))
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("policy", ["default", "paper"])
def test_check_agrees_under_every_option_that_changes_elements(dtype: str, policy: str) -> None:
    from zeroinit_cli.models import plan_source
    from zeroinit_cli.options import Options
    from zeroinit_cli.sources import parse_source

    options = Options.from_words({"dtype": dtype, "policy": policy})
    for model in ("swin_v2_t", "mobilenet_v3_small"):
        plan = plan_source(parse_source(model), options)
        assert derived(plan) == plan_sha256(plan)


def derived(plan: Any) -> str:
    """What check.py gives for the plan's canonical form and kept values."""
    return check.derive({**plan.to_json(), "kept": dict(plan.kept)})


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
def test_check_rounds_roots_as_the_package_does(dtype: DType) -> None:
    stored = check.Stored(dtype.code, dtype.itemsize, {})
    halfway = [(2**bits + odd) ** 2 for bits in (8, 11, 24, 53) for odd in (1, 3)]
    for number in (*range(40), *halfway):
        for exponent in range(-99, 30 - number.bit_length()):
            assert stored.root(number, exponent) == root_bits(number, exponent, dtype)


@given(ruled=ruled_tensors(), dtype=st.sampled_from(FLOATS))
@settings(max_examples=300, deadline=None)
def test_check_agrees_on_any_rule_in_any_type(
    ruled: tuple[Rule, tuple[int, ...]], dtype: DType
) -> None:
    rule, shape = ruled
    plan = make_plan(tensor("a", shape, rule, dtype.code))
    assert derived(plan) == plan_sha256(plan)


def test_check_agrees_on_a_plan_made_in_this_process() -> None:
    plan = planned("maskrcnn_resnet50_fpn")
    assert derived(plan) == plan_sha256(plan)

"""Files that somebody wrote on purpose: trained, wrapped, or saved by another tool."""

from collections.abc import Iterable

from zeroinit_cli.commands.verification.causes.evidence import Evidence
from zeroinit_cli.commands.verification.findings import Cause
from zeroinit_cli.store.safetensors import METADATA

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_COUNTER = "num_batches_tracked"


def written_again(evidence: Evidence) -> Cause | None:
    """The same tensors with the same values, under another header."""
    if evidence.stored is None or not evidence.same_form or evidence.differences:
        return None
    what = []
    metadata = evidence.stored.metadata
    if metadata != METADATA:
        said = ", ".join(f"{key}={value}" for key, value in metadata.items()) or "none"
        what.append(f"metadata {said} instead of format=pt")
    if list(evidence.infos) != list(evidence.planned):
        what.append("the tensors in another order")
    return Cause(
        kind="other-writer",
        text="written again by another tool: the same tensors and values, but "
        + (" and ".join(what) or "a header with other bytes"),
        hint="zeroinit generate --force writes the locked bytes",
    )


def wrapped(evidence: Evidence) -> Cause | None:
    """Every name begins with the name of a wrapper's attribute."""
    names = sorted(evidence.infos)
    if len(names) != len(evidence.planned) or not names:
        return None
    prefix = names[0].removesuffix(min(evidence.planned))
    stripped = {name.removeprefix(prefix): info for name, info in evidence.infos.items()}
    same = {name: (info.shape, info.dtype) for name, info in stripped.items()} == {
        name: (info.shape, info.dtype) for name, info in evidence.planned.items()
    }
    if not prefix or not same or not all(name.startswith(prefix) for name in names):
        return None
    return Cause(
        kind="wrapped",
        text=f"saved from a module that wraps the model: every name begins with {prefix!r}",
        hint="save the state dict of the inner module",
    )


def ties_left_out(evidence: Evidence) -> Cause | None:
    """Only tensors are missing that are there under their other name."""
    tied = {each.info.name: each.tied_to for each in evidence.plan.tensors if each.tied_to}
    missing = evidence.planned.keys() - evidence.infos.keys()
    if not missing or evidence.infos.keys() - evidence.planned.keys():
        return None
    partners = {*tied, *tied.values()}
    if not evidence.infos or not missing <= partners:
        return None
    return Cause(
        kind="ties-left-out",
        text="saved by safetensors.torch.save_model, which leaves out tensors that are tied to "
        f"others: {', '.join(sorted(missing))}",
    )


def run_in_training_mode(evidence: Evidence) -> Cause | None:
    """Only the statistics of batch norms differ: no optimizer has stepped."""
    names = [difference.info.name for difference in evidence.differences]
    if not evidence.same_form or not names or not all(map(_is_statistic, names)):
        return None
    return Cause(
        kind="statistics",
        text="run in training mode without a step of an optimizer: only statistics of batch norms "
        f"differ{_batches(evidence)}",
    )


def trained(evidence: Evidence) -> Cause | None:
    """Most floating tensors differ, all over the model."""
    if not evidence.same_form:
        return None
    weights = {name for name in evidence.floats if not _is_statistic(name)}
    changed = {each.info.name for each in evidence.differences} & weights
    if len(changed) < 2 or 2 * len(changed) < len(weights):
        return None
    return Cause(
        kind="trained",
        text="trained from here, or initialized by something else: "
        f"{len(changed)} of {len(weights)} floating tensors differ{_batches(evidence)}",
    )


def another_model(evidence: Evidence) -> Cause | None:
    """Other tensors, or other shapes: the last guess."""
    if not evidence.infos or evidence.same_form:
        return None
    reshaped = _reshaped(evidence)
    only = evidence.infos.keys() ^ evidence.planned.keys()
    if only:
        shared = len(evidence.infos.keys() & evidence.planned.keys())
        text = (
            "another architecture, or another version of it: "
            f"{shared} of {len(evidence.planned)} tensors are there under their names"
        )
    elif all(evidence.infos[name].shape == evidence.planned[name].shape for name in reshaped):
        text = f"converted to other types: {_some(reshaped)}"
    else:
        text = f"the same architecture with other sizes: {_some(reshaped)}"
    return Cause(kind="other-architecture", text=text)


def _reshaped(evidence: Evidence) -> list[str]:
    return [
        name
        for name, info in evidence.planned.items()
        if name in evidence.infos and evidence.infos[name] != info
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _is_statistic(name: str) -> bool:
    return name.endswith(_STATISTICS)


def _batches(evidence: Evidence) -> str:
    """What a batch norm has counted, which is the number of batches that it has seen."""
    found: Iterable[str] = (
        each.found for each in evidence.differences if each.info.name.endswith(_COUNTER)
    )
    count = next(iter(found), None)
    return f"; its batch norms have counted {count}" if count is not None else ""

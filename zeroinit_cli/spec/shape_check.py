"""Checks the shapes of a document without torch, and infers what it is built from.

The arithmetic of each layer gives the shape of its output. A layer that does not fit is reported,
and the check goes on with the shape that the layer would have given, so that all mistakes are
reported at once. Where that shape is not known, what follows is left unchecked.

A family that has its own module counts by its own arithmetic. A builder of torchvision is only a
name here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zeroinit_cli.spec.blueprint import (
    MODULE,
    Blueprint,
    BuilderBlueprint,
    ChainBlueprint,
    FamilyBlueprint,
    Inferred,
    LayerBlueprint,
    ParallelBlueprint,
    ResidualBlueprint,
    Shape,
)
from zeroinit_cli.spec.collector import Collector, check_entries
from zeroinit_cli.spec.document import ONLY, Document
from zeroinit_cli.spec.error_locations import KeyPath
from zeroinit_cli.spec.families.base import Family, LayeredFamily
from zeroinit_cli.spec.items import Item, Parallel, Repeat, Residual
from zeroinit_cli.spec.layers.base import ORIGIN, Layer, MismatchError, bracketed
from zeroinit_cli.spec.layers.dense import Embedding

_DECLARED = ("in_features", "in_channels", "num_features", "num_channels", "d_model")


def check_shapes(document: Document, collector: Collector) -> Inferred | None:
    """Infer the architecture of a document.

    Args:
        document: it is valid in itself.
        collector: where mistakes and counts go.

    Returns:
        The architecture; None where there are mistakes.
    """
    model = document.model
    library = model.library if model is not None else None
    if model is not None and library is not None:
        name, arguments = getattr(model, library), model.arguments or {}
        blueprint = BuilderBlueprint(library=library, name=name, arguments=arguments)
        return Inferred(blueprint=blueprint)
    inputs = document.inputs()
    if inputs is None:
        mismatch = MismatchError(
            "missing key 'input'",
            expected="the shape of the input without the batch, such as [3, 32, 32]",
        )
        collector.report(mismatch, ())
        return None
    check = _ShapeCheck(collector)
    if model is not None and model.family is not None:
        return check.family(*model.family, inputs)
    return check.layers(document.layers or [], inputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Value:
    """The value that one layer passes to the next.

    Attributes:
        shape: without the batch; None where a mistake has made it unknown.
        origin: words for the part that it comes from.
        from_input: it is the net's own input, so it may be integers.
    """

    shape: Shape | None
    origin: str
    from_input: bool = False


class _ShapeCheck:
    """A walk through the shapes of one document."""

    def __init__(self, collector: Collector):
        self._collector = collector
        self._ids = False  # a table looks up the input

    def family(
        self, key: str, family: Family | LayeredFamily, inputs: dict[str, Shape]
    ) -> Inferred | None:
        """Check a family on its input."""
        path: KeyPath = ("model", key)
        if ONLY not in inputs:
            mismatch = MismatchError(
                f"{key} takes one input", expected="one shape", hint="layers: can take several"
            )
            self._collector.report(mismatch, ("input",))
            return None
        shape = inputs[ONLY]
        if family.input_names is not None and len(shape) != len(family.input_names):
            mismatch = MismatchError(
                f"{key} gets an input of another rank",
                expected=bracketed(family.input_names),
                found=f"{list(shape)} from input",
            )
            self._collector.report(mismatch, ("input",))
            return None
        if isinstance(family, LayeredFamily):
            items = [Item.model_validate(layer) for layer in family.as_layers(shape)]
            # a family's layers have no places in the file
            return self._whole(*self._chain(items, _start(shape), path, within=True))
        for mismatch in family.mismatches(shape):
            self._collector.report(mismatch, path)
        if self._collector.faults:
            return None
        self._collector.add(family.counts(shape), path)
        self._ids = len(family.input_names) == 1
        blueprint = FamilyBlueprint(family=key, fields={**family.model_dump()}, input=shape)
        return self._inferred(blueprint, family.outputs(shape))

    def layers(self, items: Sequence[Item], inputs: dict[str, Shape]) -> Inferred | None:
        """Check a document's own layers, on its input or on several by name."""
        if ONLY in inputs:
            return self._whole(*self._chain(items, _start(inputs[ONLY]), ("layers",)))
        first = items[0].parallel
        if first is None or sorted(first.branches) != sorted(inputs):
            names = ", ".join(sorted(inputs))
            mismatch = MismatchError(
                "several inputs need a branch for each",
                expected=f"a first layer `parallel` with branches {names}",
                found=items[0].kind
                if first is None
                else f"branches {', '.join(sorted(first.branches))}",
            )
            self._collector.report(mismatch, ("layers", 0))
            return None
        values = {name: _start(shape, f"input.{name}") for name, shape in inputs.items()}
        path: KeyPath = ("layers", 0, "parallel")
        blueprint, value = self._parallel(first, values, path, apart=True)
        rest, value = self._chain(items[1:], value, ("layers",), first=1)
        self._collector.check_names(items, ("layers",))
        head = (items[0].name or "0", blueprint)
        return self._whole(ChainBlueprint(parts=(head, *rest.parts)), value)

    def _whole(self, blueprint: Blueprint, value: _Value) -> Inferred | None:
        return self._inferred(blueprint, () if value.shape is None else (value.shape,))

    def _inferred(self, blueprint: Blueprint, outputs: tuple[Shape, ...]) -> Inferred | None:
        if self._collector.faults:
            return None
        counts = self._collector.counts
        return Inferred(blueprint=blueprint, outputs=outputs, counts=counts, ids=self._ids)

    def _chain(
        self,
        items: Sequence[Item],
        value: _Value,
        path: KeyPath,
        *,
        first: int = 0,
        within: bool = False,
    ) -> tuple[ChainBlueprint, _Value]:
        """Check items one after the other.

        Args:
            items: of the chain.
            value: its input.
            path: of the list.
            first: number of the first item.
            within: the list stands for a family, at whose path all mistakes are reported.
        """
        if not first:
            self._collector.check_names(items, path)
        parts: list[tuple[str, Blueprint]] = []
        for number, item in enumerate(items, start=first):
            where = path if within else (*path, number)
            blueprint, value = self._item(item, value, where)
            parts.append((item.name or str(number), blueprint))
        return ChainBlueprint(parts=tuple(parts)), value

    def _item(self, item: Item, value: _Value, path: KeyPath) -> tuple[Blueprint, _Value]:
        inner = (*path, item.kind)
        if item.layer is not None:
            return self._layer(item.layer, value, inner)
        if item.sequential is not None:
            return self._chain(item.sequential.layers, value, (*inner, "layers"))
        if item.repeat is not None:
            return self._repeat(item.repeat, value, inner)
        if item.residual is not None:
            return self._residual(item.residual, value, inner)
        if item.parallel is None:  # the model has checked that an item is one of these
            raise TypeError(item.kind)
        values = dict.fromkeys(item.parallel.branches, value)
        return self._parallel(item.parallel, values, inner, apart=False)

    def _layer(self, layer: Layer, value: _Value, path: KeyPath) -> tuple[Blueprint, _Value]:
        origin = self._collector.path_text(path[:-1])
        nothing = LayerBlueprint(kind=layer.kind, arguments={})
        if value.shape is None:
            return nothing, _Value(shape=None, origin=origin)
        if isinstance(layer, Embedding):
            if not value.from_input:
                mismatch = MismatchError(
                    "Embedding looks up integers",
                    expected="the input itself",
                    found=f"features from {ORIGIN}",
                )
                self._collector.report(mismatch, path, value.origin)
                return nothing, _Value(shape=None, origin=origin)
            self._ids = True
        try:
            resolved = layer.resolve(value.shape)
            check_entries(resolved.output)
        except MismatchError as mismatch:
            self._collector.report(mismatch, path, value.origin)
            return nothing, _Value(shape=_guess(layer, value.shape), origin=origin)
        self._collector.add(resolved.counts, path)
        blueprint = LayerBlueprint(kind=layer.kind, arguments=resolved.arguments)
        return blueprint, _Value(shape=resolved.output, origin=origin)

    def _residual(
        self, residual: Residual, value: _Value, path: KeyPath
    ) -> tuple[Blueprint, _Value]:
        body, given = self._chain(residual.layers, value, (*path, "layers"))
        shortcut, other = None, value
        if residual.shortcut:
            shortcut, other = self._chain(residual.shortcut, value, (*path, "shortcut"))
        if given.shape is not None and other.shape is not None and given.shape != other.shape:
            mismatch = MismatchError(
                "the branch and its shortcut give different shapes",
                expected=f"{list(other.shape)}, as the shortcut gives",
                found=f"{list(given.shape)} from {given.origin}",
                hint=None
                if residual.shortcut
                else "shortcut: takes layers that change the shape, such as a 1 x 1 convolution",
            )
            self._collector.report(mismatch, path)
        self._collector.add(MODULE, path)
        origin = self._collector.path_text(path[:-1])
        blueprint = ResidualBlueprint(body=body, shortcut=shortcut)
        return blueprint, _Value(shape=given.shape, origin=origin)

    def _parallel(
        self, parallel: Parallel, values: dict[str, _Value], path: KeyPath, *, apart: bool
    ) -> tuple[Blueprint, _Value]:
        branches: list[tuple[str, ChainBlueprint]] = []
        shapes: list[Shape | None] = []
        for name, items in parallel.ordered():
            where = (*path, "branches", name)
            self._collector.check_name(name, where)
            chain, value = self._chain(items, values[name], where)
            branches.append((name, chain))
            shapes.append(value.shape)
        self._collector.add(MODULE, path)
        blueprint = ParallelBlueprint(
            branches=tuple(branches), join=parallel.join, dim=parallel.dim, apart=apart
        )
        output = None
        known = [shape for shape in shapes if shape is not None]
        if len(known) == len(shapes):
            try:
                output = check_entries(parallel.joined(known))
            except MismatchError as mismatch:
                self._collector.report(mismatch, path)
        return blueprint, _Value(shape=output, origin=self._collector.path_text(path[:-1]))

    def _repeat(self, repeat: Repeat, value: _Value, path: KeyPath) -> tuple[Blueprint, _Value]:
        """Check copies one by one until a shape repeats: the remaining copies are like it."""
        parts: list[ChainBlueprint] = []
        self._collector.add(MODULE, path)
        while len(parts) < repeat.count and not self._collector.beyond_measure:
            before = self._collector.counts
            faults = len(self._collector.faults)
            chain, after = self._chain(repeat.layers, value, (*path, "layers"))
            parts.append(chain)
            if len(self._collector.faults) > faults or after.shape is None:
                value = after if repeat.count == 1 else _Value(shape=None, origin=after.origin)
                break
            stable = after.shape == value.shape and value.from_input == after.from_input
            value = after
            if stable:
                left = repeat.count - len(parts)
                parts += [chain] * left
                self._collector.add(self._collector.counts.plus(before, -1), path, left)
        named = tuple((str(number), chain) for number, chain in enumerate(parts))
        origin = self._collector.path_text(path[:-1])
        return ChainBlueprint(parts=named), _Value(shape=value.shape, origin=origin)


def _start(shape: Shape, origin: str = "input") -> _Value:
    return _Value(shape=shape, origin=origin, from_input=True)


def _guess(layer: Layer, shape: Shape) -> Shape | None:
    """Return the output that a layer would have if it did not declare what it takes."""
    try:
        return check_entries(
            layer.model_copy(update=dict.fromkeys(_DECLARED)).resolve(shape).output
        )
    except MismatchError:
        return None

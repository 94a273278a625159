"""Shapes through an architecture, layer by layer, without torch; and what it is to be built from.

Every layer's own arithmetic says what it gives. A layer that does not fit is reported with its
place, and what follows it goes on from what it would have given, so that all mistakes are told at
once; where that is not known, what follows is left unchecked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zeroinit_cli.spec.blueprint import (
    Blueprint,
    ChainBlueprint,
    LayerBlueprint,
    ParallelBlueprint,
    ResidualBlueprint,
)
from zeroinit_cli.spec.document import ONLY
from zeroinit_cli.spec.faults import KeyPath
from zeroinit_cli.spec.findings import MODULE, Findings, Totals
from zeroinit_cli.spec.joins import join_shapes
from zeroinit_cli.spec.layers.base import Layer, MismatchError, Shape, count
from zeroinit_cli.spec.layers.dense import Embedding
from zeroinit_cli.spec.limits import MOST_VALUE, no_integers, too_much
from zeroinit_cli.spec.structure import Item, Parallel, Repeat, Residual


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """What goes from layer to layer.

    Attributes:
        shape: without the batch; None where a mistake has made it unknowable.
        origin: what it comes from, in words.
        from_input: it is the net's own input, so it may be integers.
    """

    shape: Shape | None
    origin: str
    from_input: bool = False


class Following:
    """Follows the shapes of one document's layers.

    Args:
        findings: where mistakes and counts go.

    Attributes:
        ids: whether the input has been looked up in a table, so that it is integers.
    """

    def __init__(self, findings: Findings):
        self.ids = False
        self._findings = findings

    def layers(self, items: Sequence[Item], inputs: dict[str, Shape]) -> tuple[Blueprint, Value]:
        """A document's own layers, from its input or from several by name."""
        if ONLY in inputs:
            return self._chain(items, _start(inputs[ONLY]), ("layers",))
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
            self._findings.say(mismatch, ("layers", 0))
            return ChainBlueprint(parts=()), Value(shape=None, origin="")
        values = {name: _start(shape, f"input.{name}") for name, shape in inputs.items()}
        path: KeyPath = ("layers", 0)
        blueprint, value = self._parallel(first, values, (*path, "parallel"), apart=True)
        rest, value = self._chain(items[1:], value, ("layers",), first=1)
        head = (items[0].name or "0", blueprint)
        self._findings.check_names(items, ("layers",))
        return ChainBlueprint(parts=(head, *rest.parts)), value

    def family(self, items: Sequence[Item], shape: Shape, path: KeyPath) -> tuple[Blueprint, Value]:
        """The layers that a family consists of, which have no places of their own in the file."""
        return self._chain(items, _start(shape), path, within=True)

    def _chain(
        self,
        items: Sequence[Item],
        value: Value,
        path: KeyPath,
        *,
        first: int = 0,
        within: bool = False,
    ) -> tuple[ChainBlueprint, Value]:
        """Items one after the other; `within`: a family's."""
        if not first:
            self._findings.check_names(items, path)
        parts: list[tuple[str, Blueprint]] = []
        for number, item in enumerate(items, start=first):
            where = path if within else (*path, number)
            blueprint, value = self._item(item, value, where)
            parts.append((item.name or str(number), blueprint))
        return ChainBlueprint(parts=tuple(parts)), value

    def _item(self, item: Item, value: Value, path: KeyPath) -> tuple[Blueprint, Value]:
        inner = (*path, item.kind)
        if item.layer is not None:
            return self._layer(item.layer, value, inner, path)
        if item.sequential is not None:
            return self._chain(item.sequential.layers, value, (*inner, "layers"))
        if item.repeat is not None:
            return self._repeat(item.repeat, value, inner)
        if item.residual is not None:
            return self._residual(item.residual, value, inner)
        if item.parallel is None:  # an item is one of these: the model has checked it
            raise TypeError(item.kind)
        values = dict.fromkeys(item.parallel.branches, value)
        return self._parallel(item.parallel, values, inner, apart=False)

    def _layer(
        self, layer: Layer, value: Value, path: KeyPath, item: KeyPath
    ) -> tuple[Blueprint, Value]:
        origin = self._findings.words(item)
        nothing = LayerBlueprint(kind=layer.kind, arguments={})
        unknown = Value(shape=None, origin=origin)
        if value.shape is None:
            return nothing, unknown
        if isinstance(layer, Embedding):
            if not value.from_input:
                self._findings.say(no_integers(), path, value.origin)
                return nothing, unknown
            self.ids = True
        try:
            resolved = layer.resolve(value.shape)
            if count(resolved.output) > MOST_VALUE:
                raise too_much("an output", count(resolved.output), MOST_VALUE)
        except MismatchError as mismatch:
            self._findings.say(mismatch, path, value.origin)
            return nothing, self._guess(layer, value, origin)
        totals = Totals(
            weights=resolved.weights,
            vectors=resolved.vectors - resolved.buffers,
            buffers=resolved.buffers,
            layers=1,
        )
        self._findings.add(totals, path)
        blueprint = LayerBlueprint(kind=layer.kind, arguments=resolved.arguments)
        return blueprint, Value(shape=resolved.output, origin=origin)

    def _guess(self, layer: Layer, value: Value, origin: str) -> Value:
        """What a layer would have given, had it not declared what it takes."""
        declared = ("in_features", "in_channels", "num_features", "num_channels", "d_model")
        forgiving = layer.model_copy(update=dict.fromkeys(declared))
        try:
            shape = forgiving.resolve(value.shape or ()).output
        except MismatchError:
            return Value(shape=None, origin=origin)
        return Value(shape=shape if count(shape) <= MOST_VALUE else None, origin=origin)

    def _residual(self, residual: Residual, value: Value, path: KeyPath) -> tuple[Blueprint, Value]:
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
            self._findings.say(mismatch, path)
        self._findings.add(MODULE, path)
        origin = self._findings.words(path[:-1])
        return ResidualBlueprint(body=body, shortcut=shortcut), Value(
            shape=given.shape, origin=origin
        )

    def _parallel(
        self, parallel: Parallel, values: dict[str, Value], path: KeyPath, *, apart: bool
    ) -> tuple[Blueprint, Value]:
        branches: list[tuple[str, ChainBlueprint]] = []
        shapes: list[tuple[str, Shape | None]] = []
        for name, items in parallel.ordered():
            where = (*path, "branches", name)
            self._findings.check_name(name, where)
            chain, value = self._chain(items, values[name], where)
            branches.append((name, chain))
            shapes.append((name, value.shape))
        self._findings.add(MODULE, path)
        blueprint = ParallelBlueprint(
            branches=tuple(branches), join=parallel.join, dim=parallel.dim, apart=apart
        )
        origin = self._findings.words(path[:-1])
        known = [(name, shape) for name, shape in shapes if shape is not None]
        if len(known) < len(shapes):
            return blueprint, Value(shape=None, origin=origin)
        try:
            shape = join_shapes(known, parallel.join, parallel.dim)
            if count(shape) > MOST_VALUE:
                raise too_much("an output", count(shape), MOST_VALUE)
        except MismatchError as mismatch:
            self._findings.say(mismatch, path)
            return blueprint, Value(shape=None, origin=origin)
        return blueprint, Value(shape=shape, origin=origin)

    def _repeat(self, repeat: Repeat, value: Value, path: KeyPath) -> tuple[Blueprint, Value]:
        """Copies one by one until one gives what it takes; the rest are like it."""
        parts: list[ChainBlueprint] = []
        self._findings.add(MODULE, path)
        while len(parts) < repeat.count and not self._findings.beyond_measure:
            before = self._findings.totals
            faults = len(self._findings.faults)
            chain, after = self._chain(repeat.layers, value, (*path, "layers"))
            parts.append(chain)
            if len(self._findings.faults) > faults or after.shape is None:
                value = after if repeat.count == 1 else Value(shape=None, origin=after.origin)
                break
            stable = after.shape == value.shape and value.from_input == after.from_input
            value = after
            if stable:
                left = repeat.count - len(parts)
                parts += [chain] * left
                self._findings.add(self._findings.totals.plus(before, -1), path, left)
        named = tuple((str(number), chain) for number, chain in enumerate(parts))
        return ChainBlueprint(parts=named), Value(
            shape=value.shape, origin=self._findings.words(path[:-1])
        )


def _start(shape: Shape, origin: str = "input") -> Value:
    return Value(shape=shape, origin=origin, from_input=True)

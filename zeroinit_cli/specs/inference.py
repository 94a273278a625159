"""Shapes through an architecture, layer by layer, without torch; and what it is to be built from.

Every layer's own arithmetic says what it gives. A layer that does not fit is reported with its
place, and what follows it goes on from what it would have given, so that all mistakes are told at
once; where that is not known, what follows is left unchecked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zeroinit_cli.errors import MistakeError
from zeroinit_cli.specs.blueprint import (
    Blueprint,
    BuilderBlueprint,
    ChainBlueprint,
    FamilyBlueprint,
    LayerBlueprint,
    ParallelBlueprint,
    ResidualBlueprint,
)
from zeroinit_cli.specs.document import ONLY, Document
from zeroinit_cli.specs.families.base import Family, LayeredFamily, wrong_rank
from zeroinit_cli.specs.faults import KeyPath, Locator, from_mismatch
from zeroinit_cli.specs.joins import join_shapes
from zeroinit_cli.specs.layers.base import ORIGIN, Layer, MismatchError, Shape, count
from zeroinit_cli.specs.layers.dense import Embedding
from zeroinit_cli.specs.limits import (
    MOST_LAYERS,
    MOST_PARAMETERS,
    MOST_VALUE,
    MOST_VECTORS,
    MissingInputError,
    no_integers,
    one_input,
    too_much,
)
from zeroinit_cli.specs.structure import RESERVED, Item, Parallel, Repeat, Residual


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """An architecture, or a part of one.

    Attributes:
        blueprint: what it is built from.
        outputs: what it gives; none where that is not known.
        weights: entries of weight matrices, kernels and tables.
        vectors: entries of biases, norms and raw parameters.
        buffers: entries that do not train, part of no count of parameters.
        layers: modules.
        ids: its input is integers.
    """

    blueprint: Blueprint
    outputs: tuple[Shape, ...] = ()
    weights: int = 0
    vectors: int = 0
    buffers: int = 0
    layers: int = 0
    ids: bool = False

    @property
    def parameters(self) -> int:
        """Numbers that train."""
        return self.weights + self.vectors


class Inference:
    """Follows the shapes of one document.

    Args:
        locator: knows the places in the file.
    """

    def __init__(self, locator: Locator):
        self.faults: list[MistakeError] = []
        self._locator = locator
        self._weights = self._vectors = self._buffers = self._layers = 0
        self._ids = False
        self._stopped = False

    def document(self, document: Document) -> Inferred | None:
        """The whole architecture; None where it has faults."""
        if document.model is not None and document.model.torchvision is not None:
            arguments = document.model.arguments or {}
            return Inferred(
                blueprint=BuilderBlueprint(name=document.model.torchvision, arguments=arguments)
            )
        family = document.model.family if document.model is not None else None
        if family is not None and isinstance(family[1], Family):
            return self._family(family[0], family[1], document)
        if document.input is None:
            self._say(MissingInputError(), ())
            return None
        if family is not None and isinstance(family[1], LayeredFamily):
            shape = document.input.get(ONLY)
            if shape is None:
                self._say(one_input(family[0]), ("input",))
                return None
            names = family[1].input_names
            if names is not None and len(shape) != len(names):
                self._say(wrong_rank(family[0], names, shape), ("input",), "input")
                return None
            path: KeyPath = ("model", family[0])
            items = [Item.model_validate(each) for each in family[1].as_layers(shape)]
            blueprint: Blueprint
            blueprint, value = self._chain(items, self._start(shape), path, within=True)
        else:
            blueprint, value = self._layers_of(document.layers or [], document.input)
        return self._whole(blueprint, () if value.shape is None else (value.shape,))

    def _whole(self, blueprint: Blueprint, outputs: tuple[Shape, ...]) -> Inferred | None:
        if self.faults:
            return None
        return Inferred(
            blueprint=blueprint,
            outputs=outputs,
            weights=self._weights,
            vectors=self._vectors,
            buffers=self._buffers,
            layers=self._layers,
            ids=self._ids,
        )

    @staticmethod
    def _start(shape: Shape) -> Value:
        return Value(shape=shape, origin="input", from_input=True)

    # families

    def _family(self, key: str, family: Family, document: Document) -> Inferred | None:
        path: KeyPath = ("model", key)
        inputs = document.input
        if inputs is not None and ONLY not in inputs:
            self._say(one_input(key), ("input",))
            return None
        shape = inputs[ONLY] if inputs is not None else family.default_input()
        if shape is None:
            self._say(MissingInputError(), ())
            return None
        if len(shape) != len(family.input_names):
            self._say(wrong_rank(key, family.input_names, shape), ("input",), "input")
            return None
        for mismatch in family.mismatches(shape):
            self._say(mismatch, path)
        if self.faults:
            return None
        counted = family.count(shape)
        self._weights, self._vectors = counted.weights, counted.vectors
        self._buffers, self._layers = counted.buffers, counted.layers
        self._ids = len(family.input_names) == 1
        self._check_size(path)
        fields = {**family.model_dump()}
        return self._whole(FamilyBlueprint(family=key, fields=fields, input=shape), counted.outputs)

    # layers

    def _layers_of(
        self, items: Sequence[Item], inputs: dict[str, Shape]
    ) -> tuple[Blueprint, Value]:
        if ONLY in inputs:
            return self._chain(items, self._start(inputs[ONLY]), ("layers",))
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
            self._say(mismatch, ("layers", 0))
            return ChainBlueprint(parts=()), Value(shape=None, origin="")
        values = {
            name: Value(shape=shape, origin=f"input.{name}", from_input=True)
            for name, shape in inputs.items()
        }
        path: KeyPath = ("layers", 0)
        blueprint, value = self._parallel(first, values, (*path, "parallel"), apart=True)
        rest, value = self._chain(items[1:], value, ("layers",), first=1)
        head = (items[0].name or "0", blueprint)
        self._check_names(items, ("layers",))
        return ChainBlueprint(parts=(head, *rest.parts)), value

    def _chain(
        self,
        items: Sequence[Item],
        value: Value,
        path: KeyPath,
        *,
        first: int = 0,
        within: bool = False,
    ) -> tuple[ChainBlueprint, Value]:
        """Items one after the other; `within`: a family's, which have no places of their own."""
        if not first:
            self._check_names(items, path)
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
        origin = self._locator.words(item)
        nothing = LayerBlueprint(kind=layer.kind, arguments={})
        unknown = Value(shape=None, origin=origin)
        if value.shape is None:
            return nothing, unknown
        if isinstance(layer, Embedding):
            if not value.from_input:
                self._say(no_integers(), path, value.origin)
                return nothing, unknown
            self._ids = True
        try:
            resolved = layer.resolve(value.shape)
            if count(resolved.output) > MOST_VALUE:
                raise too_much("an output", count(resolved.output), MOST_VALUE)
        except MismatchError as mismatch:
            self._say(mismatch, path, value.origin)
            return nothing, self._guess(layer, value, origin)
        self._add(resolved.weights, resolved.vectors - resolved.buffers, resolved.buffers, 1, path)
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
            self._say(mismatch, path)
        self._add(0, 0, 0, 1, path)
        origin = self._locator.words(path[:-1])
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
            self._check_name(name, where)
            chain, value = self._chain(items, values[name], where)
            branches.append((name, chain))
            shapes.append((name, value.shape))
        self._add(0, 0, 0, 1, path)
        blueprint = ParallelBlueprint(
            branches=tuple(branches), join=parallel.join, dim=parallel.dim, apart=apart
        )
        origin = self._locator.words(path[:-1])
        known = [(name, shape) for name, shape in shapes if shape is not None]
        if len(known) < len(shapes):
            return blueprint, Value(shape=None, origin=origin)
        try:
            shape = join_shapes(known, parallel.join, parallel.dim)
            if count(shape) > MOST_VALUE:
                raise too_much("an output", count(shape), MOST_VALUE)
        except MismatchError as mismatch:
            self._say(mismatch, path)
            return blueprint, Value(shape=None, origin=origin)
        return blueprint, Value(shape=shape, origin=origin)

    def _repeat(self, repeat: Repeat, value: Value, path: KeyPath) -> tuple[Blueprint, Value]:
        """Copies one by one until one gives what it takes; the rest are like it."""
        parts: list[ChainBlueprint] = []
        self._add(0, 0, 0, 1, path)
        while len(parts) < repeat.count and not self._stopped:
            before = self._totals()
            faults = len(self.faults)
            chain, after = self._chain(repeat.layers, value, (*path, "layers"))
            parts.append(chain)
            if len(self.faults) > faults or after.shape is None:
                value = after if repeat.count == 1 else Value(shape=None, origin=after.origin)
                break
            stable = after.shape == value.shape and value.from_input == after.from_input
            value = after
            if stable:
                left = repeat.count - len(parts)
                parts += [chain] * left
                weights, vectors, buffers, layers = (
                    left * (now - then) for now, then in zip(self._totals(), before, strict=True)
                )
                self._add(weights, vectors, buffers, layers, path)
        named = tuple((str(number), chain) for number, chain in enumerate(parts))
        return ChainBlueprint(parts=named), Value(
            shape=value.shape, origin=self._locator.words(path[:-1])
        )

    # counts, names, messages

    def _totals(self) -> tuple[int, int, int, int]:
        return self._weights, self._vectors, self._buffers, self._layers

    def _add(self, weights: int, vectors: int, buffers: int, layers: int, path: KeyPath) -> None:
        self._weights += weights
        self._vectors += vectors
        self._buffers += buffers
        self._layers += layers
        self._check_size(path)

    def _check_size(self, path: KeyPath) -> None:
        """Say once, where the sum passes it, that there is too much of something."""
        sums = (
            ("parameters", self._weights + self._vectors, MOST_PARAMETERS),
            ("numbers in biases, norms and buffers", self._vectors + self._buffers, MOST_VECTORS),
            ("layers", self._layers, MOST_LAYERS),
        )
        for what, number, most in sums:
            if number > most and not self._stopped:
                self._stopped = True
                self._say(too_much(what, number, most), path)

    def _check_names(self, items: Sequence[Item], path: KeyPath) -> None:
        seen: set[str] = set()
        for number, item in enumerate(items):
            if item.name is not None:
                where = (*path, number, "name")
                if item.name in seen:
                    mismatch = MismatchError(f"two parts are called {item.name!r}")
                    self._say(mismatch, where)
                seen.add(item.name)
                self._check_name(item.name, where)

    def _check_name(self, name: str, path: KeyPath) -> None:
        if name in RESERVED or name.startswith("_"):
            mismatch = MismatchError(
                f"no part can be called {name!r}",
                expected="a word that is no attribute of torch's modules and begins with a letter",
            )
            self._say(mismatch, path)

    def _say(self, mismatch: MismatchError, path: KeyPath, origin: str = "") -> None:
        for field in ("problem", "expected", "found"):
            words = getattr(mismatch, field)
            if words is not None:
                setattr(mismatch, field, words.replace(ORIGIN, origin))
        self.faults.append(from_mismatch(mismatch, path, self._locator))

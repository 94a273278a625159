"""A document -> what it is built from, what it gives and what it comes to, without torch.

A builder of torchvision is known by name alone. A family that has a module of its own counts by its
own arithmetic; another one, and a document's own layers, are followed layer by layer.
"""

from dataclasses import dataclass

from zeroinit_cli.errors import MistakeError
from zeroinit_cli.spec.blueprint import Blueprint, BuilderBlueprint, FamilyBlueprint
from zeroinit_cli.spec.document import ONLY, Document
from zeroinit_cli.spec.families.base import Family, LayeredFamily, wrong_rank
from zeroinit_cli.spec.faults import KeyPath, Locator
from zeroinit_cli.spec.findings import Findings, Totals
from zeroinit_cli.spec.following import Following, Value
from zeroinit_cli.spec.layers.base import Shape
from zeroinit_cli.spec.limits import MissingInputError, one_input
from zeroinit_cli.spec.structure import Item


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
    """Infers what one document describes.

    Args:
        locator: knows the places in the file.
    """

    def __init__(self, locator: Locator):
        self._findings = Findings(locator)

    @property
    def faults(self) -> list[MistakeError]:
        """What is wrong with it."""
        return self._findings.faults

    def document(self, document: Document) -> Inferred | None:
        """The whole architecture; None where it has faults."""
        if document.model is not None and document.model.torchvision is not None:
            arguments = document.model.arguments or {}
            return Inferred(
                blueprint=BuilderBlueprint(name=document.model.torchvision, arguments=arguments)
            )
        family = document.model.family if document.model is not None else None
        if family is not None and isinstance(family[1], Family):
            return self._family(family[0], family[1], document.input)
        if document.input is None:
            self._findings.say(MissingInputError(), ())
            return None
        if family is not None and isinstance(family[1], LayeredFamily):
            return self._layered_family(family[0], family[1], document.input)
        following = Following(self._findings)
        blueprint, value = following.layers(document.layers or [], document.input)
        return self._whole(blueprint, _known(value), ids=following.ids)

    def _family(self, key: str, family: Family, inputs: dict[str, Shape] | None) -> Inferred | None:
        path: KeyPath = ("model", key)
        if inputs is not None and ONLY not in inputs:
            self._findings.say(one_input(key), ("input",))
            return None
        shape = inputs[ONLY] if inputs is not None else family.default_input()
        if shape is None:
            self._findings.say(MissingInputError(), ())
            return None
        if len(shape) != len(family.input_names):
            self._findings.say(wrong_rank(key, family.input_names, shape), ("input",), "input")
            return None
        for mismatch in family.mismatches(shape):
            self._findings.say(mismatch, path)
        if self.faults:
            return None
        counted = family.count(shape)
        totals = Totals(
            weights=counted.weights,
            vectors=counted.vectors,
            buffers=counted.buffers,
            layers=counted.layers,
        )
        self._findings.add(totals, path)
        blueprint = FamilyBlueprint(family=key, fields={**family.model_dump()}, input=shape)
        return self._whole(blueprint, counted.outputs, ids=len(family.input_names) == 1)

    def _layered_family(
        self, key: str, family: LayeredFamily, inputs: dict[str, Shape]
    ) -> Inferred | None:
        shape = inputs.get(ONLY)
        if shape is None:
            self._findings.say(one_input(key), ("input",))
            return None
        names = family.input_names
        if names is not None and len(shape) != len(names):
            self._findings.say(wrong_rank(key, names, shape), ("input",), "input")
            return None
        following = Following(self._findings)
        items = [Item.model_validate(each) for each in family.as_layers(shape)]
        blueprint, value = following.family(items, shape, ("model", key))
        return self._whole(blueprint, _known(value), ids=following.ids)

    def _whole(
        self, blueprint: Blueprint, outputs: tuple[Shape, ...], *, ids: bool
    ) -> Inferred | None:
        if self.faults:
            return None
        totals = self._findings.totals
        return Inferred(
            blueprint=blueprint,
            outputs=outputs,
            weights=totals.weights,
            vectors=totals.vectors,
            buffers=totals.buffers,
            layers=totals.layers,
            ids=ids,
        )


def _known(value: Value) -> tuple[Shape, ...]:
    return () if value.shape is None else (value.shape,)

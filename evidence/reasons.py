"""Why a unit got no gradient: its value and its gradient are followed through a recorded run."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from evidence.following import follow
from zeroinit_cli.models.classes import CONVOLUTION, is_norm, is_weight_layer, type_name
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import (
    MULTI_HEAD,
    NORM_FUNCTIONS,
    WEIGHT_FUNCTIONS,
    function_name,
)

_FLAT_BELOW = frozenset({"relu", "relu6", "hardswish", "hardsigmoid", "hardtanh"})
_CHANNELS_LAST = frozenset({"linear", "layer_norm", "rms_norm", MULTI_HEAD})


@dataclass(slots=True)
class _Channels:
    """What was seen of a node's output, channel by channel.

    Attributes:
        axis: the dimension that counts channels.
        positive: whether it is above 0 anywhere.
        nonzero: whether it is not 0 anywhere.
        varies: whether it is not the same everywhere.
        arrives: whether a gradient came back to it anywhere.
    """

    axis: int
    positive: Tensor
    nonzero: Tensor
    varies: Tensor
    arrives: Tensor

    @property
    def count(self) -> int:
        return len(self.positive)


class Reasons:
    """Runs a model once, step by step, and after the backward pass explains what got nothing.

    It is to be asked before the next update: it reads the weights that the pass was made with.

    Args:
        model: in the mode that it is to run in.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._flow: DataFlow
        self._seen: dict[Node, _Channels] = {}
        self._apart: set[Node] = set()
        self._calls: dict[str, Node] = {}
        self._known: dict[tuple[Node, int], str | None] = {}

    def run(self, image: Tensor) -> Any:
        """Run the model, and give what it gives."""
        self._flow, result = follow(self._model, image, self._note)
        layers = (node for node in self._flow.nodes if self._layer(node) is not None)
        self._calls = {self._flow.layer(node): node for node in layers}
        return result

    def _layer(self, node: Node) -> nn.Module | None:
        """The layer of torch's own that a node is."""
        module = self._flow.module(node)
        return module if type(module).__module__.startswith("torch.nn.") else None

    def _note(self, node: Node, value: Tensor) -> None:
        """Note what a step gives, and ask to be told of its gradient."""
        if not value.requires_grad:  # what a hook computes beside the run, too
            self._apart.add(node)
        if node.op == "read" or not value.is_floating_point() or value.ndim < 2:
            return
        axis = self._axis(node, value)
        others = [each for each in range(value.ndim) if each != axis]
        detached = value.detach()
        most, least = detached.amax(others), detached.amin(others)
        self._seen[node] = seen = _Channels(
            axis=axis,
            positive=most > 0,
            nonzero=(most != 0) | (least != 0),
            varies=most != least,
            arrives=torch.zeros(value.shape[axis], dtype=torch.bool),
        )
        if value.requires_grad:
            value.register_hook(partial(_arrive, seen, others))

    def _axis(self, node: Node, value: Tensor) -> int:
        """Convolutions and batch norms count channels first, linear layers and layer norms last."""
        name = function_name(node)
        if name in _CHANNELS_LAST:
            return value.ndim - 1
        if name in WEIGHT_FUNCTIONS or name in NORM_FUNCTIONS:
            return 1
        known = [self._seen[each] for each in node.all_input_nodes if each in self._seen]
        return known[0].axis if known and known[0].axis < value.ndim else 1

    def why(self, name: str, row: int) -> str:
        """Why a row of a parameter got no gradient in the last pass.

        Args:
            name: of the parameter.
            row: in its dimension 0, which is the channel of its module's output.
        """
        node = self._calls.get(name.rpartition(".")[0])
        if node is None or node not in self._seen or row >= self._seen[node].count:
            return "inside a block that is not looked into"
        return self._lost_after(node, row) or self._lost_inside(node, row)

    def _lost_inside(self, node: Node, row: int) -> str:
        """A gradient reaches the output of the module, but not its weight."""
        before, module = self._seen.get(self._flow.parents(node)[0]), self._layer(node)
        columns = slice(None)
        if isinstance(module, CONVOLUTION):
            width, height = module.weight.shape[1], module.weight.shape[0] // module.groups
            columns = slice(row // height * width, (row // height + 1) * width)
        if before is not None and not before.nonzero[columns].any():
            return "its input is 0"
        return "its gradient cancels over the batch"

    def _lost_after(self, node: Node, channel: int) -> str | None:
        """Why no gradient comes back to a channel of a value; None if one does."""
        key = node, channel
        if key not in self._known:
            users = [each for each in self._flow.users(node) if each not in self._apart]
            if self._seen[node].arrives[channel]:
                self._known[key] = None
            elif self._flow.is_result(node):
                self._known[key] = "it is an output that the loss gives no gradient"
            elif not users:
                self._known[key] = "nothing uses it"
            else:  # of several the last: past the branches that fork off, to the add
                self._known[key] = self._lost_at(users[-1], node, channel)
        return self._known[key]

    def _lost_at(self, user: Node, node: Node, channel: int) -> str | None:
        seen, before = self._seen.get(user), self._seen[node]
        module: Any = self._layer(user)
        name = type_name(module) if module is not None else function_name(user)
        if seen is None:
            return f"behind {name}, which is not looked into"
        if module is not None and is_weight_layer(module):
            return self._lost_at_weight(user, module, channel)
        if name == "cat":
            channel += self._offset(user, node)
        elif name.lower() == "flatten":
            channel *= seen.count // before.count
        elif seen.count != before.count:
            return f"behind {name}, where channels change places"
        if not seen.arrives[channel]:
            return self._lost_after(user, channel)
        if name.lower() in _FLAT_BELOW:
            return self._lost_at_activation(before, seen, channel)
        if module is not None and is_norm(module) and not module.weight[channel]:
            varies = "" if before.varies[channel] else ", for its input does not vary"
            return f"the scale of the norm after it is still 0{varies}"
        return f"the {name} after it passes none back"

    @staticmethod
    def _lost_at_activation(before: _Channels, seen: _Channels, channel: int) -> str:
        if not before.nonzero[channel]:
            return "the activation after it gets exactly 0"
        if not seen.positive[channel]:
            return "the activation after it is never positive"
        return "the activation after it is flat where a gradient comes"

    def _lost_at_weight(self, user: Node, module: Any, channel: int) -> str | None:
        """The next layer reads a channel by some of its rows, or by none."""
        seen, before = self._seen[user], self._seen[self._flow.parents(user)[0]]
        weight = module.weight.detach() != 0
        first, width = 0, weight.shape[1]
        if isinstance(module, CONVOLUTION):
            height = weight.shape[0] // module.groups
            first = channel // width * height
            weight = weight[first : first + height, channel % width].reshape(height, -1)
        else:
            each = width // before.count
            weight = weight[:, channel * each : (channel + 1) * each]
        readers = (weight.any(1).nonzero().flatten() + first).tolist()
        if any(seen.arrives[reader] for reader in readers):
            return "its gradients cancel in the next layer"
        if not readers:
            return "the next layer's weights for it are 0"
        return self._lost_after(user, readers[0])

    def _offset(self, user: Node, node: Node) -> int:
        """Where a value's channels begin in what a concatenation gives."""
        offset = 0
        for each in self._flow.parents(user):
            if each is node:
                break
            offset += self._seen[each].count
        return offset


def _arrive(seen: _Channels, others: list[int], gradient: Tensor) -> None:
    seen.arrives |= (gradient != 0).any(dim=others)

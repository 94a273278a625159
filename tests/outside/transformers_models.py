"""Small models of the transformers package: a class, its configuration, and what it is fed.

Each is as narrow and as shallow as its architecture allows; everything else is as it comes, so that
what is fused, shared, normed or scaled is what people train.
"""

from collections.abc import Mapping

from torch import nn

from tests.outside import transformers_decoders, transformers_readers, transformers_senses
from tests.outside.transformers_inputs import Fed, Row

ROWS: Mapping[str, Row] = {
    **transformers_decoders.ROWS,
    **transformers_readers.ROWS,
    **transformers_senses.ROWS,
}


def build(name: str) -> nn.Module:
    """A model of the table, with the package's own start."""
    import transformers

    class_name, config_name, fields, _ = ROWS[name]
    values = fields() if callable(fields) else fields
    config = getattr(transformers, config_name)(**values)
    module: nn.Module = getattr(transformers, class_name)(config)
    return module


def inputs(name: str) -> Fed:
    """What the model of the table is fed, by the names of its forward's arguments."""
    return ROWS[name][3]()

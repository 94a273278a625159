"""Tables that no graph explains, but the type of the module that looks them up."""

from torch import nn

from zeroinit_cli.models.classes import class_paths
from zeroinit_cli.models.tables import POSITIONS, RELATIVE, SEGMENTS

_LOOKUPS = {
    # Tables that only the type of a module explains, by their name in it. A parameter of its own
    # gets the rule only where its constructor draws it at random. All but position tables are 0: a
    # start without preference.
    "torchvision.models.maxvit.RelativePositionalMultiHeadAttention": {
        "relative_position_bias_table": RELATIVE,
    },
    "torchvision.models.swin_transformer.ShiftedWindowAttention": {
        "relative_position_bias_table": RELATIVE,
    },
    "torchvision.models.video.mvit.MultiscaleAttention": {
        "rel_pos_h": RELATIVE,
        "rel_pos_t": RELATIVE,
        "rel_pos_w": RELATIVE,
    },
    "torchvision.models.video.mvit.PositionalEncoding": {
        "class_pos": "position of the class token",
        "class_token": "class token",
        "spatial_pos": POSITIONS,
        "temporal_pos": POSITIONS,
    },
    "torchvision.models.video.swin_transformer.ShiftedWindowAttention3d": {
        "relative_position_bias_table": RELATIVE,
    },
    "transformers.models.bert.modeling_bert.BertEmbeddings": {
        "position_embeddings.weight": POSITIONS,
        "token_type_embeddings.weight": SEGMENTS,
    },
    "transformers.models.gpt2.modeling_gpt2.GPT2Model": {"wpe.weight": POSITIONS},
    "torchvision.models.vision_transformer.Encoder": {"pos_embedding": POSITIONS},
    "torchvision.models.vision_transformer.VisionTransformer": {"class_token": "class token"},
    "zeroinit_cli.nets.encoder.Encoder": {
        "segment_embedding.weight": SEGMENTS,
    },
}


def table_of(root: nn.Module, path: str, name: str) -> str | None:
    """What a table is, by the type of the module that owns it or of one further out.

    Args:
        root: the whole module.
        path: of the table's owner in the whole.
        name: of the table in its owner.
    """
    while True:
        table = known_table(root.get_submodule(path), name)
        if table is not None or not path:
            return table
        path, _, last = path.rpartition(".")
        name = f"{last}.{name}"


def known_table(module: nn.Module, name: str) -> str | None:
    """What a table is, by its name in a module of a type that is known."""
    tables = (_LOOKUPS.get(path, {}).get(name) for path in class_paths(module))
    return next((table for table in tables if table is not None), None)

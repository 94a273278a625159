"""Modules as they train: sharded over ranks, wrapped, or a stage of a pipeline.

The one place of torch.distributed, which takes a second to load: it is imported inside functions.
"""

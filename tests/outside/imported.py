"""What every measurement imports, once: the server that processes are forked from imports this."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import warnings  # after the variable that packages read when they are imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch

    from zeroinit_cli.nets.torchvision import import_torchvision

    torch.set_num_threads(1)  # threads do not survive a fork
    import_torchvision()
    import timm
    import transformers

    import zeroinit_cli.models
    from tests.outside import cases, one_model

transformers.logging.set_verbosity_error()
__all__ = ["cases", "one_model", "timm", "zeroinit_cli"]

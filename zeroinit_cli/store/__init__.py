"""Safetensors files: the format, writing a plan, reading, comparing, shards. No torch.

The bytes written are those of `safetensors.torch.save_file(tensors, path, {"format": "pt"})`.
"""

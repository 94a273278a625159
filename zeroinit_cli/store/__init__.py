"""Safetensors files: header, streaming writer, reader, atomic replacement. No torch.

The bytes written are those of `safetensors.torch.save_file(tensors, path, {"format": "pt"})`.
"""

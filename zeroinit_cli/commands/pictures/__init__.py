"""Tensors as pictures: cells that show means, signs as colours, PNG and SVG. No torch."""

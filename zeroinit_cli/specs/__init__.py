"""YAML specs: architectures that people write, read and trust. No torch in here.

`tree.py` reads YAML, `document.py` says what a spec may say, `inference.py` follows its shapes,
`spec.py` puts these together; `faults.py` gives every mistake its place.
"""

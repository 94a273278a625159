"""YAML specs: architectures that people write, read and trust. No torch in here.

`tree.py` reads YAML, `document.py` says what a spec may say, `inference.py` what it is built from,
`following.py` follows its shapes, `findings.py` keeps what is found on the way, `spec.py` puts
these together; `faults.py` gives every mistake its place.
"""

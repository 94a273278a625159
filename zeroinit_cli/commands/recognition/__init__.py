"""Which rule gives a tensor its bytes, found from the bytes alone. No torch.

`summary.py` reads a tensor once and counts its bit patterns; where these are few, `candidates.py`
and `splits.py` propose rules from shape and counts, and `matching.py` holds the whole tensor
against each. `recognise.py` puts this together. Nothing is called a rule that does not give every
byte.
"""

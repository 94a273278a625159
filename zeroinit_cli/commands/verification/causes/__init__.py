"""What has probably happened to a checkpoint that does not hold.

Guesses from evidence, the surest first, and told as guesses. Each costs at most a pass over the
file or a few plans more, in blocks, and none is tried where all is well. `openings` needs neither
numpy nor torch, `files` no torch; `requests` plans again, with other options.
"""

"""Proof that checkpoints are what their sources give: derive, reproduce, compare.

`verify.py` is the way in. It takes each checkpoint to `files.py` or, where it has shards, to
`shards.py`, which hold it against its plan and the lock. `findings.py` has what they can find,
`words.py` says it, `folder_files.py` looks at a folder file by file, and `causes/` guesses what
has probably happened. Nothing here writes, and no finding keeps others from being said.
"""

"""What the commands print of their answers, a module for each kind of answer or of format.

`docs/output.md` is the page of the documents for programs; `github` and `markdown` are for CI.
"""

"""The output of the commands' answers, a module for each kind of answer.

`docs/output.md` is the page of the documents for programs; `github` and `markdown` are for CI.
"""

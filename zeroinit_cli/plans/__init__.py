"""The plan of a checkpoint: rules, the policy that chooses them, and exact entries. No torch.

The package is not called `plan`: importing a submodule `zeroinit_cli.plan` would replace the public
function `zeroinit_cli.plan`.
"""

"""The plan of a checkpoint: rules, the policy that chooses them, and exact entries. No torch."""

"""What a ZerO start does, measured: each experiment can be run again by anyone, and says how."""

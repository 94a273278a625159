"""How fast and how small: our command beside a reference and beside SHA-256 alone."""

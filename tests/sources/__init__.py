"""SOURCE: each kind of it, and what is refused."""

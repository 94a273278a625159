"""One use case a module: everything checked first, then written or reported. No torch."""

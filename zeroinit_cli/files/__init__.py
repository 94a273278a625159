"""Files of any kind: read with care, replaced whole or not at all."""

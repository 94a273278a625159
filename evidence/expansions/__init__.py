"""Which matrix should stand where fan_out > fan_in: measured, and trained from.

python -m evidence.expansions            all of it; it goes on where it stopped
python -m evidence.expansions --help     its parts
"""

"""Quadratic residues, and the finite fields of 2^m elements: small tables that signs come from."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from zeroinit_cli.plans.policy import twisting_prime

Numbers = NDArray[np.int64]
Signs = NDArray[np.int64]
"""1 and -1."""


def parity(numbers: Numbers) -> Signs:
    """(-1)^popcount of each."""
    return 1 - 2 * (np.bitwise_count(numbers).astype(np.int64) & 1)


@cache
def residues(least: int) -> Signs:
    """chi(0..p-1), p the prime that Paley's matrix takes for so many rows.

    chi(a) = 1 where a is a square modulo p, 0 among them, else -1.
    """
    prime = twisting_prime(least)
    character = np.full(prime, -1)
    character[np.arange(prime, dtype=np.int64) ** 2 % prime] = 1
    return character


@cache
def powers(m: int) -> Numbers:
    """x^0, x^1, ... in GF(2^m), of the smallest polynomial for which that is all but 0.

    Elements are numbers, bit k the coefficient of x^k.
    """
    for polynomial in range((1 << m) + 1, 1 << (m + 1), 2):  # the even ones x divides
        element, found = 1, [1]
        while (element := _times_x(element, m, polynomial)) not in (0, 1):
            found.append(element)
        if len(found) == (1 << m) - 1:
            return np.array(found)
    raise ValueError(f"no primitive polynomial of degree {m}")


def _times_x(element: int, m: int, polynomial: int) -> int:
    shifted = element << 1
    return shifted ^ polynomial if shifted >> m else shifted


@cache
def maximal_sequence(m: int) -> Signs:
    """The longest sequence of a register of m bits.

    (-1)^(the lowest bit of x^k in GF(2^m)), k = 0..2^m - 2.
    """
    return parity(powers(m) & 1)


@cache
def cubes(m: int) -> Numbers:
    """j^3 in GF(2^m), j = 0..2^m - 1."""
    table = powers(m)
    result = np.zeros(1 << m, np.int64)
    result[table] = table[3 * np.arange(len(table)) % len(table)]
    return result

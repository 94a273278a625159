"""What a forward wants of an answer, read from the bytecode that asks for it.

A value of a graph is neither true nor false, and has no length. But where one answer can only raise
it is the other that a run would get, and where a shape is taken apart the names say into how much.
"""

import dis
import functools
from typing import Any


@functools.cache
def passing(code: Any, offset: int) -> bool | None:
    """The answer that passes a check, where the other one can only raise; else None.

    Args:
        code: of the function that asks.
        offset: of the instruction that asks, in bytes.
    """
    instructions = [each for each in dis.get_instructions(code) if each.opname != "NOT_TAKEN"]
    places = {each.offset: index for index, each in enumerate(instructions)}
    index = places.get(offset, len(instructions) - 1)
    asking = instructions[index]
    if asking.opname in ("COMPARE_OP", "CONTAINS_OP", "TO_BOOL"):
        index += 1  # asks by itself, from Python 3.13 on or about the items of a tuple
    jump = instructions[index]
    if not jump.opname.startswith("POP_JUMP") or "NONE" in jump.opname:
        return None
    taken = _only_raises(instructions, places, places[jump.argval])
    if taken == _only_raises(instructions, places, index + 1):
        return None
    answer = ("IF_TRUE" in jump.opname) != taken
    return not answer if asking.opname == "CONTAINS_OP" and asking.arg else answer  # `not in`


def names_beside_a_star(code: Any, offset: int) -> int:
    """How many items a starred assignment takes one by one; 1 where nothing else is known.

    Args:
        code: of the function that asks for items.
        offset: of the instruction that asks, in bytes.
    """
    instructions = dis.get_instructions(code)
    asking = next((each for each in instructions if each.offset == offset), None)
    if asking is not None and asking.opname == "UNPACK_EX" and asking.arg is not None:
        return (asking.arg & 0xFF) + (asking.arg >> 8)  # before and behind the star
    return 1


def _only_raises(instructions: list[dis.Instruction], places: dict[int, int], start: int) -> bool:
    """Whether no way on from an instruction returns."""
    waiting, seen = [start], {start}
    while waiting:
        index = waiting.pop()
        each = instructions[index]
        if each.opname.startswith(("RETURN", "YIELD")):
            return False
        further = []
        ends = each.opname in ("RAISE_VARARGS", "RERAISE")
        if not ends and not (each.opname.startswith("JUMP_") and "IF" not in each.opname):
            further.append(index + 1)
        if each.opcode in dis.hasjrel or each.opcode in dis.hasjabs:
            further.append(places[each.argval])
        waiting += [following for following in further if following not in seen]
        seen.update(further)
    return True

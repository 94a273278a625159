"""The ranks that check a module together: they agree before they compare, and add up afterwards."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed

from zeroinit_cli.errors import PlanError, UsageError, ZeroinitError
from zeroinit_cli.text import listed

_SHOWN = 4
_Made = TypeVar("_Made")
Fields = tuple[str, str | None, str | None, str | None, str | None]
"""What an error says: problem, where, expected, found, hint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one rank tells the others before anything is compared.

    Attributes:
        digest: of its plan.
        error: what is wrong with its module or arguments, if anything is.
    """

    digest: str
    error: Fields | None


class Ranks:
    """The ranks of a group; one that is alone if torch.distributed is not in use.

    Args:
        group: a process group, all ranks if not given.

    Raises:
        UsageError: this rank is not of the group.
    """

    def __init__(self, group: Any):
        self._group = group
        self._numbers = [0]
        self._together = torch.distributed.is_available() and torch.distributed.is_initialized()
        if self._together:
            if torch.distributed.get_rank(group) < 0:
                raise UsageError(
                    "a group that this rank is not of",
                    where="group",
                    hint="call check on the ranks of the group alone",
                )
            whole = torch.distributed.group.WORLD if group is None else group
            self._numbers = torch.distributed.get_process_group_ranks(whole)

    @property
    def own(self) -> int:
        """This rank, of all."""
        return torch.distributed.get_rank() if self._together else 0

    def agreed(self, make: Callable[[], _Made], digest: str, where: str) -> _Made:
        """What `make` gives, once no rank has an error and all have the same digest.

        Raises:
            ZeroinitError: some rank has one, or the digests differ: the same on every rank.
            Exception: whatever else `make` raises here; other ranks then raise a PlanError.
        """
        try:
            made = make()
        except ZeroinitError as error:
            self._compare(Report(digest=digest, error=_fields(error)))
            raise
        except Exception as error:
            # the others wait: they must hear of it, whatever it is
            failed = f"{type(error).__name__}: {error}"
            report = ("the module cannot be read", where, None, failed, None)
            self._exchanged(Report(digest=digest, error=report))
            raise
        self._compare(Report(digest=digest, error=None))
        return made

    def _compare(self, report: Report) -> None:
        reports = self._exchanged(report)
        failed = {each.error: rank for rank, each in reversed(reports) if each.error is not None}
        if failed:
            error = min(failed, key=lambda each: failed[each])
            ranks = [rank for rank, each in reports if each.error == error]
            problem, place, expected, found, hint = error
            if len(ranks) < len(reports):
                place = f"{place}, {_ranks(ranks)}"
            raise PlanError(problem, where=place, expected=expected, found=found, hint=hint)
        by_digest: dict[str, list[int]] = {}
        for rank, each in reports:
            by_digest.setdefault(each.digest, []).append(rank)
        if len(by_digest) > 1:
            raise PlanError(
                "ranks have different plans",
                expected="the same digest on every rank",
                found="; ".join(f"{each} on {_ranks(by_digest[each])}" for each in by_digest),
                hint="build must give the same module everywhere: compare plan.to_json()",
            )

    def _exchanged(self, report: Report) -> list[tuple[int, Report]]:
        if not self._together:
            return [(0, report)]
        reports: list[Any] = [None] * len(self._numbers)
        torch.distributed.all_gather_object(reports, report, group=self._group)
        return list(zip(self._numbers, reports, strict=True))

    def least(self, numbers: torch.Tensor) -> torch.Tensor:
        """The least of each number over the ranks."""
        return self._reduced(numbers, "MIN")

    def total(self, numbers: torch.Tensor) -> torch.Tensor:
        """The sum of each number over the ranks."""
        return self._reduced(numbers, "SUM")

    def _reduced(self, numbers: torch.Tensor, operation: str) -> torch.Tensor:
        if not self._together:
            return numbers
        # "cpu:gloo,cuda:nccl", of which the CPU's is as good as any for a few numbers
        backends = torch.distributed.get_backend_config(self._group)
        device = "cpu" if "cpu:" in backends else backends.partition(":")[0]
        there = numbers.to(device)
        how = getattr(torch.distributed.ReduceOp, operation)
        torch.distributed.all_reduce(there, op=how, group=self._group)
        return there.cpu()


def _fields(error: ZeroinitError) -> Fields:
    return error.problem, error.where, error.expected, error.found, error.hint


def _ranks(numbers: Iterable[int]) -> str:
    every = list(numbers)
    return f"rank{'s' if len(every) > 1 else ''} {listed(map(str, every), _SHOWN)}"

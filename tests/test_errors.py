"""The error tree and its exit codes."""

from __future__ import annotations

import errno
import os
from itertools import pairwise, permutations

import pytest

from pipeline.errors import ContractInvalid, DataRootMissing, ExitCode, PipelineError, combine_exit_codes, disk_refused

GRAVEST_FIRST = [64, 4, 3, 6, 5, 7]


@pytest.mark.parametrize(("graver", "lesser"), list(pairwise(GRAVEST_FIRST)))
def test_the_graver_code_wins_in_any_order(graver: int, lesser: int) -> None:
    for codes in permutations([graver, lesser, 0, 2]):
        assert combine_exit_codes([ExitCode(code) for code in codes]) == graver


def test_an_unexpected_error_outweighs_all() -> None:
    assert combine_exit_codes(list(ExitCode)) == ExitCode.BUG


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0], 0), ([2], 2), ([2, 2], 2), ([0, 2], 0), ([2, 0, 2], 0), ([2, 7], 7)],
)
def test_nothing_to_do_is_told_only_when_nothing_else_applies(codes: list[int], expected: int) -> None:
    assert combine_exit_codes(ExitCode(code) for code in codes) == expected


def test_an_error_shows_its_remedy_below() -> None:
    assert str(ContractInvalid("no rows", remedy="pipeline doctor")) == "no rows\n  → pipeline doctor"
    assert str(ContractInvalid("no rows")) == "no rows"


def test_each_error_has_the_code_of_its_kind() -> None:
    assert DataRootMissing("gone").exit_code == ExitCode.CONTRACT_INVALID
    kinds = PipelineError.__subclasses__()
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert ExitCode.BUG not in {kind.exit_code for kind in kinds}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_no_more_is_no_bug(number: int) -> None:
    refused = disk_refused(OSError(number, os.strerror(number)))
    assert refused is not None
    assert refused.exit_code == 4
    assert os.strerror(number) in refused.message


def test_other_errors_of_the_system_are_left_as_they_are() -> None:
    assert disk_refused(OSError(errno.EPERM, "no")) is None

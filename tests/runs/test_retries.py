"""What happens to a sample that failed: the table agrees with those who find the errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pipeline.runs.retries import RULES, rule_of, wait_us
from schemas.serving import SampleFailure

REPOSITORY = Path(__file__).resolve().parents[2]
BY_WHO_SAYS_SO = {"request_refused", "reply_invalid"}


def said_in_the_code() -> dict[str, set[bool]]:
    """Every code of an error that is written out in the sources, and whether it is to be tried again."""
    found: dict[str, set[bool]] = {}
    for path in sorted((REPOSITORY / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"SampleFailure", "SampleError"}:
                code, flag = node.args[:1], [*node.args[2:3], *(k.value for k in node.keywords if k.arg == "retryable")]
                if code and isinstance(code[0], ast.Constant):
                    retried = flag[0].value if flag and isinstance(flag[0], ast.Constant) else False
                    found.setdefault(str(code[0].value), set()).add(bool(retried))
    return found


def test_every_error_has_a_rule_and_is_treated_by_it() -> None:
    said = said_in_the_code()
    assert len(said) > 10
    for code, retried in said.items():
        if code not in BY_WHO_SAYS_SO:
            assert retried == {RULES[code].retried}, code


def test_the_table_of_the_operators_page_is_that_of_the_code() -> None:
    page = (REPOSITORY / "docs" / "operating.md").read_text()
    for code, rule in RULES.items():
        lines = [line for line in page.splitlines() if f"`{code}`" in line and line.startswith(f"| {rule.kind} |")]
        assert len(lines) == 1, code


@pytest.mark.parametrize(
    ("code", "waits"), [("model_failed", [2_000_000, 4_000_000, 8_000_000]), ("blob_missing", [10_000_000, 20_000_000])]
)
def test_the_wait_doubles_and_is_longer_for_what_is_not_there_yet(code: str, waits: list[int]) -> None:
    failure = SampleFailure(code, "", retryable=True)
    assert [wait_us(failure, attempts, 2.0) for attempts in range(1, len(waits) + 1)] == waits


def test_a_code_without_a_rule_goes_by_what_the_finder_says() -> None:
    assert [rule_of(SampleFailure("new", "", retryable=flag)).retried for flag in (True, False)] == [True, False]

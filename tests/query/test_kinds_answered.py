"""Every kind of question has a function that answers it, and no other kind's code is loaded for it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from pipeline.query.answering import ANSWERED_BY, answering
from pipeline.query.intents import Intent


@pytest.mark.parametrize("intent", list(Intent))
def test_each_kind_of_question_is_answered_by_a_function_of_plan_and_desk(intent: Intent) -> None:
    assert list(inspect.signature(answering(intent)).parameters) == ["plan", "desk"]


def test_asking_loads_nothing_that_answers() -> None:
    modules = sorted(
        {f"pipeline.query.{name.partition('.')[0]}" for name in ANSWERED_BY.values()} - {"pipeline.query.findings"}
    )
    code = f"import sys, pipeline.query.ask; print([name for name in {modules} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

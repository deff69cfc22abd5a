"""The office memory, made once for all tests that ask it."""

from __future__ import annotations

import pytest
from processed_office import process_office

from pipeline.dataroot import DataRoot


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The office memory, processed; to be read only."""
    return process_office(tmp_path_factory.mktemp("office"))

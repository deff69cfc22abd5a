"""How many keyframes an hour may have: one number for the whole catalog."""

from __future__ import annotations

from pipeline.engines.days import KEYFRAMES_PER_HOUR
from pipeline.stores.catalog import Catalog

_CHOSEN_BY = "choose_keyframes"


def settle_keyframes(catalog: Catalog, per_hour: int) -> None:
    """Have all days chosen again when the budget is another than before; what was said of their frames stays."""
    if catalog.mark(KEYFRAMES_PER_HOUR) != str(per_hour):
        with catalog.transaction():
            catalog.forget_days(_CHOSEN_BY)
            catalog.set_mark(KEYFRAMES_PER_HOUR, str(per_hour))

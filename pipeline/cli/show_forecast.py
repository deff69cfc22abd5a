"""How `status` and `plan` show whether it will be done in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def show_forecast(console: Console, sla: dict[str, Any], disk: dict[str, Any]) -> None:
    """The sentence about the window, and for how long the disk is enough."""
    console.print(f"in time: {sla['sentence']}")
    if sla["idle_from"]:
        console.print(f"idle: {sla['idle_hours_per_day']:g} hours a day, by {sla['idle_from']}")
    if disk["days_left"] is not None:
        console.print(
            f"disk: enough for {disk['days_left']:g} days at {disk['growth_per_day'] / 1024**2:.1f} MiB a day"
        )

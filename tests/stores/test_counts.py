"""The catalog's counters say what counting its rows would give, whatever was written."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dataroot import DataRoot
from pipeline.stores.catalog import DONE, FAILED, PARKED, Catalog, Outcome, Sample
from pipeline.stores.counts import count_days, count_outcomes, count_samples
from pipeline.stores.forgotten import forget_hour
from pipeline.stores.pending import pending

SAMPLES = [
    Sample(f"r/{n}", "frame", f"r{n % 2}", n, f"2026-03-0{1 + n % 3}", f"1{n % 2}", size=100 + n) for n in range(8)
]
OUTCOMES = st.tuples(
    st.sampled_from(SAMPLES), st.sampled_from([DONE, FAILED, PARKED]), st.sampled_from(["f", "g"]),
    st.sampled_from(["ocr", "list"]),
)  # fmt: skip


def counted(catalog: Catalog) -> dict[tuple[str, str], int]:
    rows = catalog.connection.execute("SELECT stage, status, count(*) FROM outcomes GROUP BY 1, 2")
    return {(stage, status): number for stage, status, number in rows}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(OUTCOMES, st.sampled_from(["forget", "retry", "gone", "sized"])), max_size=25))
def test_counters_and_rows_agree(tmp_path_factory: object, tmp_path: Path, steps: list[object]) -> None:
    root = DataRoot(tmp_path / "root").create()
    root.catalog_db.unlink(missing_ok=True)
    with Catalog(root) as catalog:
        catalog.add_samples(SAMPLES)
        for step in steps:
            if step == "forget":
                forget_hour(catalog, "ocr", "r0", "2026-03-01", "10")
            elif step == "retry":
                catalog.retry_failed("ocr")
            elif step == "gone":
                catalog.replace_samples("frame", "r1", "2026-03-02", [], ["ocr"])
            elif step == "sized":
                catalog.add_samples([Sample("r/0", "frame", "r0", 0, "2026-03-01", "10", size=7)])
            elif isinstance(step, tuple):
                sample, status, fingerprint, stage = step
                catalog.record_outcomes(stage, [Outcome(sample, status, fingerprint, output_id="x")])
        assert count_outcomes(catalog) == counted(catalog)
        rows = catalog.connection.execute("SELECT count(*), sum(bytes) FROM samples").fetchone()
        sizes = catalog.connection.execute("SELECT sum(bytes) FROM sample_counts").fetchone()
        assert (count_samples(catalog, "frame"), *sizes) == rows


def test_a_day_tells_what_waits_in_it(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "root").create()
    one, two, three, four = (Sample(f"r/{n}", "frame", "r", n, "2026-03-01", "10") for n in range(4))
    with Catalog(root) as catalog:
        catalog.add_samples([one, two, three, four])
        catalog.record_outcomes(
            "ocr", [Outcome(one, DONE, "f"), Outcome(two, PARKED, "g"), Outcome(three, FAILED, "f", retry_at_us=9)]
        )
        [day] = count_days(catalog, "ocr", "frame", "f")
        assert (day.samples, day.untouched, day.failed, day.parked, day.stale, day.waiting) == (4, 1, 1, 1, 1, 2)
        assert [item.sample_id for item in pending(catalog, "ocr", "frame", None, 0)] == ["r/3"]
        assert [item.sample_id for item in pending(catalog, "ocr", "frame", "f", 9)] == ["r/1", "r/2", "r/3"]

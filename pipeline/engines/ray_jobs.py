"""The Ray Data jobs: a wave of shards, and one that does nothing but bring the workers up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.engines.ray_cluster import CLUSTER
from pipeline.engines.ray_environment import LOCAL, import_ray
from pipeline.engines.ray_work import Job, get_ready, work_descriptors
from pipeline.errors import Unavailable

CPUS_OF_A_WORKER = 0.25
"""A fraction, so that workers and Ray's own tasks never wait for one another; mostly they wait for models anyway."""

_LACKS = re.compile(r"No module named '([\w.]{1,80})'")


def warm_up(workers: int) -> None:
    """Have worker processes started and everything imported: the first shard would wait seconds for it."""
    for _ in _tables([{"index": number} for number in range(workers)], get_ready, workers):
        pass


def worked_on(job: Job, descriptors: Sequence[Mapping[str, object]], workers: int) -> Iterator[pa.Table]:
    """Have a wave of shards worked on; gives a table for some of them as it comes, until all are done."""
    yield from _tables(descriptors, work_descriptors, workers, job=job)


def _tables(
    descriptors: Sequence[Mapping[str, object]], work: Callable[..., pa.Table], workers: int, **given: Any
) -> Any:
    ray = import_ray()
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    settings.print_on_execution_start = False
    dataset = ray.data.from_items(list(descriptors), override_num_blocks=len(descriptors)).map_batches(
        work,
        fn_kwargs=given,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=CPUS_OF_A_WORKER,
        compute=ray.data.TaskPoolStrategy(size=min(workers, len(descriptors))),
    )
    return dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)


def explain(error: Exception) -> Exception:
    """A worker or a node that Ray lost is no bug of ours; what a worker raised is."""
    ray = import_ray()
    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError, ray.exceptions.RaySystemError)  # fmt: skip
    lacks = _LACKS.search(str(error)) if isinstance(error, ray.exceptions.RayError) else None
    if lacks:
        return Unavailable(
            f"a node of the Ray lacks the module {lacks[1]}",
            remedy=f"install the same packages and models on every node ({CLUSTER})",
        )
    if isinstance(error, lost):
        return Unavailable(f"Ray lost its processes: {type(error).__name__}", remedy=LOCAL)
    return error

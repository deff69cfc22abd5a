"""Feed damaged databases and sessions to the reading process: `scripts/fuzz_readers [--seconds 60] [--seed 0]`.

Each is read as ingest reads it. It must be read, or rejected by a sentence, within ten seconds; what a reader dies of,
and errors that it has no words for, are counted, printed with their seeds, and make the exit code 1. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "ingest")]

from damaged_files import damage, damage_file_of, make_databases, make_session  # noqa: E402

from pipeline.errors import ContractInvalid  # noqa: E402
from pipeline.ingest.reader import Reader, ReaderPool  # noqa: E402
from pipeline.stores.variants import Backend  # noqa: E402

_LONGEST_S = 10.0
_UNWORDED = ("cannot be read: the process", "cannot be read: its reader", "too long", "too much memory", "out of it")


def main() -> int:
    """Feed them until the time is over; print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first one")
    arguments = parser.parse_args()
    outcomes: Counter[str] = Counter()
    findings: list[dict[str, object]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, ReaderPool(Path(folder)) as pool:
        samples = make_databases(Path(folder) / "databases")
        session = make_session(Path(folder) / "sessions" / "session_s")
        end, seed = time.monotonic() + arguments.seconds, arguments.seed
        while time.monotonic() < end:
            started = time.monotonic()
            outcome = _feed(pool, samples, session, seed)
            slowest = max(slowest, time.monotonic() - started)
            outcomes[outcome] += 1
            if any(words in outcome for words in _UNWORDED) or time.monotonic() - started > _LONGEST_S:
                findings.append({"seed": seed, "outcome": outcome})
            seed += 1
    told = {"tried": seed - arguments.seed, "slowest_s": round(slowest, 2), "findings": findings}
    print(json.dumps({**told, "outcomes": dict(outcomes.most_common(40))}, indent=2))
    return 1 if findings or slowest > _LONGEST_S else 0


def _feed(pool: ReaderPool, samples: list[Path], session: Path, seed: int) -> str:
    choose = random.Random(seed)
    is_session = choose.random() < 0.25
    try:
        with pool.borrow(1, is_session=is_session) as reader, reader.private() as private:
            if is_session:
                damage_file_of(session, private / "session_s", choose)
                reader.read_session(private / "session_s", "session_s", {}, private / "metadata.db")
            else:
                _place(choose.choice(samples), private / "metadata.db", choose)
            return _read(reader, private / "metadata.db")
    except ContractInvalid as error:
        return error.message[:80]


def _place(source: Path, target: Path, choose: random.Random) -> None:
    log = Path(f"{source}-wal")
    hits_log = log.exists() and choose.random() < 0.7
    target.write_bytes(source.read_bytes() if hits_log else damage(source.read_bytes(), choose))
    if log.exists():
        Path(f"{target}-wal").write_bytes(damage(log.read_bytes(), choose) if hits_log else log.read_bytes())


def _read(reader: Reader, database: Path) -> str:
    with reader.open(database, Backend.auto) as found:
        for _ in range(2):
            for _ in found.chunks():
                pass
        return f"read ({found.backend.value})"


if __name__ == "__main__":
    sys.exit(main())

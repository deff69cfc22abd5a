"""Python code of the protobuf schemas, by protobuf's own compiler."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path("schemas", "chronicle.proto")


def protobuf_modules(repository: Path) -> dict[Path, str]:
    """The module that reads and writes a protobuf schema, and its types, by their paths in the repository.

    Raises RuntimeError when the schema does not compile; the compiler says where on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        code = protoc.main(
            [
                "protoc",
                f"--proto_path={repository}",
                f"--proto_path={files('grpc_tools') / '_proto'}",
                f"--python_out={folder}",
                f"--pyi_out={folder}",
                str(repository / PROTO),
            ]
        )
        if code:
            raise RuntimeError(f"{PROTO} does not compile")
        names = (PROTO.with_name(f"{PROTO.stem}_pb2{suffix}") for suffix in (".py", ".pyi"))
        return {name: (Path(folder) / name).read_text(encoding="utf-8") for name in names}

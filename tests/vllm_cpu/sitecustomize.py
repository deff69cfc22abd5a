"""For the tests' vLLM on a CPU: declares torchvision's operators, so that it can be imported without its C++ part.

None of them is ever called: a picture is resized by other means.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_OPERATORS = ("nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
_declared: list[Any] = []


class _BeforeTorchvision(MetaPathFinder):
    """Is asked for each module that is imported; finds none, and acts when torchvision comes up."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            library = import_module("torch.library").Library("torchvision", "FRAGMENT")
            for name in _OPERATORS:
                library.define(f"{name}(Tensor input) -> Tensor")
                library.define(f"_{name}_backward(Tensor input) -> Tensor")
            _declared.append(library)  # what was declared ends with it
        return None


sys.meta_path.insert(0, _BeforeTorchvision())

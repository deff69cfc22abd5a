"""Two models small enough to be made here, in the form in which PaddleOCR takes its own: they find what is dark, and
read stripes as letters."""

import sys
from pathlib import Path
from typing import Any

_DETECTION = """
Global: {model_name: PP-OCRv5_mobile_det}
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - DetResizeForTest: {resize_long: 960}
  - NormalizeImage: {mean: [0.485, 0.456, 0.406], order: hwc, scale: 1./255., std: [0.229, 0.224, 0.225]}
  - ToCHWImage: null
  - KeepKeys: {keep_keys: [image, shape]}
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5}
"""
_RECOGNITION = """
Global: {model_name: PP-OCRv5_mobile_rec}
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - RecResizeImg: {image_shape: [3, 48, 320]}
  - KeepKeys: {keep_keys: [image]}
PostProcess: {name: CTCLabelDecode, character_dict: [a, b, c]}
"""


def make_paddle_models(folder: Path) -> dict[str, str]:
    """Make both below a folder; gives the parameters that describe them."""
    import paddle

    class Detector(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dark = paddle.nn.Conv2D(3, 1, 1)
            self.dark.weight.set_value(paddle.full([1, 3, 1, 1], -4.0))
            self.dark.bias.set_value(paddle.zeros([1]))

        def forward(self, x: Any) -> Any:
            return paddle.nn.functional.sigmoid(self.dark(x))

    class Recognizer(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            paddle.seed(1)
            self.columns = paddle.nn.Conv2D(3, 5, (48, 8), stride=(48, 8))

        def forward(self, x: Any) -> Any:
            return paddle.nn.functional.softmax(self.columns(x).squeeze(2).transpose([0, 2, 1]) * 3, axis=-1)

    _save(paddle, Detector(), folder / "det", [-1, 3, -1, -1], _DETECTION)
    _save(paddle, Recognizer(), folder / "rec", [-1, 3, 48, -1], _RECOGNITION)
    return {
        "detection_name": "PP-OCRv5_mobile_det",
        "detection_dir": str(folder / "det"),
        "recognition_name": "PP-OCRv5_mobile_rec",
        "recognition_dir": str(folder / "rec"),
    }


def _save(paddle: Any, network: Any, folder: Path, shape: list[int], description: str) -> None:
    folder.mkdir(parents=True)
    network.eval()
    taken = [paddle.static.InputSpec(shape, "float32", name="x")]
    paddle.jit.save(paddle.jit.to_static(network, input_spec=taken, full_graph=True), str(folder / "inference"))
    (folder / "inference.yml").write_text(description)


if __name__ == "__main__":
    make_paddle_models(Path(sys.argv[1]))

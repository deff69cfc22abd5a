from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PixelFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIXEL_FORMAT_UNSPECIFIED: _ClassVar[PixelFormat]
    BGRA8: _ClassVar[PixelFormat]
    NV12: _ClassVar[PixelFormat]

class InputEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INPUT_EVENT_UNSPECIFIED: _ClassVar[InputEventType]
    MOUSE: _ClassVar[InputEventType]
    CONTROL: _ClassVar[InputEventType]
    GENERIC_HID: _ClassVar[InputEventType]

class UiElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UI_ELEMENT_UNSPECIFIED: _ClassVar[UiElementType]
    WINDOW: _ClassVar[UiElementType]
    PANE: _ClassVar[UiElementType]
    TAB: _ClassVar[UiElementType]
    BUTTON: _ClassVar[UiElementType]
    TEXT: _ClassVar[UiElementType]
    ICON: _ClassVar[UiElementType]
    INPUT: _ClassVar[UiElementType]
PIXEL_FORMAT_UNSPECIFIED: PixelFormat
BGRA8: PixelFormat
NV12: PixelFormat
INPUT_EVENT_UNSPECIFIED: InputEventType
MOUSE: InputEventType
CONTROL: InputEventType
GENERIC_HID: InputEventType
UI_ELEMENT_UNSPECIFIED: UiElementType
WINDOW: UiElementType
PANE: UiElementType
TAB: UiElementType
BUTTON: UiElementType
TEXT: UiElementType
ICON: UiElementType
INPUT: UiElementType

class RectI32(_message.Message):
    __slots__ = ("x", "y", "w", "h")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    W_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    w: int
    h: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., w: _Optional[int] = ..., h: _Optional[int] = ...) -> None: ...

class DpiInfo(_message.Message):
    __slots__ = ("scale_x", "scale_y", "dpi_x", "dpi_y", "monitor_id")
    SCALE_X_FIELD_NUMBER: _ClassVar[int]
    SCALE_Y_FIELD_NUMBER: _ClassVar[int]
    DPI_X_FIELD_NUMBER: _ClassVar[int]
    DPI_Y_FIELD_NUMBER: _ClassVar[int]
    MONITOR_ID_FIELD_NUMBER: _ClassVar[int]
    scale_x: float
    scale_y: float
    dpi_x: int
    dpi_y: int
    monitor_id: str
    def __init__(self, scale_x: _Optional[float] = ..., scale_y: _Optional[float] = ..., dpi_x: _Optional[int] = ..., dpi_y: _Optional[int] = ..., monitor_id: _Optional[str] = ...) -> None: ...

class ClockAnchor(_message.Message):
    __slots__ = ("qpc_ticks", "unix_ns")
    QPC_TICKS_FIELD_NUMBER: _ClassVar[int]
    UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    qpc_ticks: int
    unix_ns: int
    def __init__(self, qpc_ticks: _Optional[int] = ..., unix_ns: _Optional[int] = ...) -> None: ...

class SessionManifest(_message.Message):
    __slots__ = ("schema_version", "session_id", "host_id", "qpc_frequency_hz", "start_qpc_ticks", "end_qpc_ticks", "start_unix_ns", "end_unix_ns", "desktop_width", "desktop_height", "capture_backend", "config_json", "clock_anchors", "producer", "producer_version")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    QPC_FREQUENCY_HZ_FIELD_NUMBER: _ClassVar[int]
    START_QPC_TICKS_FIELD_NUMBER: _ClassVar[int]
    END_QPC_TICKS_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    END_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    DESKTOP_WIDTH_FIELD_NUMBER: _ClassVar[int]
    DESKTOP_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_BACKEND_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ANCHORS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_VERSION_FIELD_NUMBER: _ClassVar[int]
    schema_version: str
    session_id: str
    host_id: str
    qpc_frequency_hz: int
    start_qpc_ticks: int
    end_qpc_ticks: int
    start_unix_ns: int
    end_unix_ns: int
    desktop_width: int
    desktop_height: int
    capture_backend: str
    config_json: str
    clock_anchors: _containers.RepeatedCompositeFieldContainer[ClockAnchor]
    producer: str
    producer_version: str
    def __init__(self, schema_version: _Optional[str] = ..., session_id: _Optional[str] = ..., host_id: _Optional[str] = ..., qpc_frequency_hz: _Optional[int] = ..., start_qpc_ticks: _Optional[int] = ..., end_qpc_ticks: _Optional[int] = ..., start_unix_ns: _Optional[int] = ..., end_unix_ns: _Optional[int] = ..., desktop_width: _Optional[int] = ..., desktop_height: _Optional[int] = ..., capture_backend: _Optional[str] = ..., config_json: _Optional[str] = ..., clock_anchors: _Optional[_Iterable[_Union[ClockAnchor, _Mapping]]] = ..., producer: _Optional[str] = ..., producer_version: _Optional[str] = ...) -> None: ...

class ActiveWindow(_message.Message):
    __slots__ = ("title", "process_path", "pid", "hwnd", "rect", "monitor")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PROCESS_PATH_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    HWND_FIELD_NUMBER: _ClassVar[int]
    RECT_FIELD_NUMBER: _ClassVar[int]
    MONITOR_FIELD_NUMBER: _ClassVar[int]
    title: str
    process_path: str
    pid: int
    hwnd: int
    rect: RectI32
    monitor: str
    def __init__(self, title: _Optional[str] = ..., process_path: _Optional[str] = ..., pid: _Optional[int] = ..., hwnd: _Optional[int] = ..., rect: _Optional[_Union[RectI32, _Mapping]] = ..., monitor: _Optional[str] = ...) -> None: ...

class FrameMeta(_message.Message):
    __slots__ = ("session_id", "frame_index", "qpc_ticks", "unix_ns", "width", "height", "pixel_format", "desktop_rect", "dirty_rects", "dpi", "artifact_path", "sha256", "active_window")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_INDEX_FIELD_NUMBER: _ClassVar[int]
    QPC_TICKS_FIELD_NUMBER: _ClassVar[int]
    UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PIXEL_FORMAT_FIELD_NUMBER: _ClassVar[int]
    DESKTOP_RECT_FIELD_NUMBER: _ClassVar[int]
    DIRTY_RECTS_FIELD_NUMBER: _ClassVar[int]
    DPI_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    frame_index: int
    qpc_ticks: int
    unix_ns: int
    width: int
    height: int
    pixel_format: PixelFormat
    desktop_rect: RectI32
    dirty_rects: _containers.RepeatedCompositeFieldContainer[RectI32]
    dpi: DpiInfo
    artifact_path: str
    sha256: bytes
    active_window: ActiveWindow
    def __init__(self, session_id: _Optional[str] = ..., frame_index: _Optional[int] = ..., qpc_ticks: _Optional[int] = ..., unix_ns: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., pixel_format: _Optional[_Union[PixelFormat, str]] = ..., desktop_rect: _Optional[_Union[RectI32, _Mapping]] = ..., dirty_rects: _Optional[_Iterable[_Union[RectI32, _Mapping]]] = ..., dpi: _Optional[_Union[DpiInfo, _Mapping]] = ..., artifact_path: _Optional[str] = ..., sha256: _Optional[bytes] = ..., active_window: _Optional[_Union[ActiveWindow, _Mapping]] = ...) -> None: ...

class FrameMetaBatch(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[FrameMeta]
    def __init__(self, items: _Optional[_Iterable[_Union[FrameMeta, _Mapping]]] = ...) -> None: ...

class MouseEvent(_message.Message):
    __slots__ = ("x", "y", "delta_x", "delta_y", "buttons", "wheel_delta")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    DELTA_X_FIELD_NUMBER: _ClassVar[int]
    DELTA_Y_FIELD_NUMBER: _ClassVar[int]
    BUTTONS_FIELD_NUMBER: _ClassVar[int]
    WHEEL_DELTA_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    delta_x: int
    delta_y: int
    buttons: int
    wheel_delta: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., delta_x: _Optional[int] = ..., delta_y: _Optional[int] = ..., buttons: _Optional[int] = ..., wheel_delta: _Optional[int] = ...) -> None: ...

class ControlEvent(_message.Message):
    __slots__ = ("action", "payload_json")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_JSON_FIELD_NUMBER: _ClassVar[int]
    action: str
    payload_json: str
    def __init__(self, action: _Optional[str] = ..., payload_json: _Optional[str] = ...) -> None: ...

class GenericHidEvent(_message.Message):
    __slots__ = ("usage_page", "usage", "payload")
    USAGE_PAGE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    usage_page: int
    usage: int
    payload: bytes
    def __init__(self, usage_page: _Optional[int] = ..., usage: _Optional[int] = ..., payload: _Optional[bytes] = ...) -> None: ...

class InputEvent(_message.Message):
    __slots__ = ("session_id", "event_index", "qpc_ticks", "unix_ns", "device_id", "type", "mouse", "control", "generic_hid")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    QPC_TICKS_FIELD_NUMBER: _ClassVar[int]
    UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MOUSE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    GENERIC_HID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    event_index: int
    qpc_ticks: int
    unix_ns: int
    device_id: str
    type: InputEventType
    mouse: MouseEvent
    control: ControlEvent
    generic_hid: GenericHidEvent
    def __init__(self, session_id: _Optional[str] = ..., event_index: _Optional[int] = ..., qpc_ticks: _Optional[int] = ..., unix_ns: _Optional[int] = ..., device_id: _Optional[str] = ..., type: _Optional[_Union[InputEventType, str]] = ..., mouse: _Optional[_Union[MouseEvent, _Mapping]] = ..., control: _Optional[_Union[ControlEvent, _Mapping]] = ..., generic_hid: _Optional[_Union[GenericHidEvent, _Mapping]] = ...) -> None: ...

class InputEventBatch(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[InputEvent]
    def __init__(self, items: _Optional[_Iterable[_Union[InputEvent, _Mapping]]] = ...) -> None: ...

class UiElement(_message.Message):
    __slots__ = ("element_id", "type", "bbox", "confidence", "label", "text", "parent_id")
    ELEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BBOX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    element_id: str
    type: UiElementType
    bbox: RectI32
    confidence: float
    label: str
    text: str
    parent_id: str
    def __init__(self, element_id: _Optional[str] = ..., type: _Optional[_Union[UiElementType, str]] = ..., bbox: _Optional[_Union[RectI32, _Mapping]] = ..., confidence: _Optional[float] = ..., label: _Optional[str] = ..., text: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class DetectionFrame(_message.Message):
    __slots__ = ("session_id", "frame_index", "qpc_ticks", "elements")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_INDEX_FIELD_NUMBER: _ClassVar[int]
    QPC_TICKS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    frame_index: int
    qpc_ticks: int
    elements: _containers.RepeatedCompositeFieldContainer[UiElement]
    def __init__(self, session_id: _Optional[str] = ..., frame_index: _Optional[int] = ..., qpc_ticks: _Optional[int] = ..., elements: _Optional[_Iterable[_Union[UiElement, _Mapping]]] = ...) -> None: ...

class DetectionBatch(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[DetectionFrame]
    def __init__(self, items: _Optional[_Iterable[_Union[DetectionFrame, _Mapping]]] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigureRequest(_message.Message):
    __slots__ = ["max_reply", "settings"]
    MAX_REPLY_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    max_reply: int
    settings: bytes
    def __init__(self, settings: _Optional[bytes] = ..., max_reply: _Optional[int] = ...) -> None: ...

class ConfigureResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ["config_schema", "handlers", "name", "sdk", "version"]
    CONFIG_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    HANDLERS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    config_schema: bytes
    handlers: _containers.RepeatedCompositeFieldContainer[HandlerInfo]
    name: str
    sdk: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sdk: _Optional[str] = ..., handlers: _Optional[_Iterable[_Union[HandlerInfo, _Mapping]]] = ..., config_schema: _Optional[bytes] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ["code", "details", "message", "status"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    code: str
    details: bytes
    message: str
    status: str
    def __init__(self, status: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[bytes] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ["last"]
    LAST_FIELD_NUMBER: _ClassVar[int]
    last: int
    def __init__(self, last: _Optional[int] = ...) -> None: ...

class HandlerInfo(_message.Message):
    __slots__ = ["checks_payload", "name", "request_schema", "response_schema"]
    CHECKS_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    checks_payload: bool
    name: str
    request_schema: bytes
    response_schema: bytes
    def __init__(self, name: _Optional[str] = ..., request_schema: _Optional[bytes] = ..., response_schema: _Optional[bytes] = ..., checks_payload: bool = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ["attempt", "handler", "number", "payload", "redelivered", "request_id", "timeout_us", "topic", "traceparent", "tracestate"]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REDELIVERED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    handler: str
    number: int
    payload: bytes
    redelivered: bool
    request_id: str
    timeout_us: int
    topic: str
    traceparent: str
    tracestate: str
    def __init__(self, number: _Optional[int] = ..., handler: _Optional[str] = ..., payload: _Optional[bytes] = ..., timeout_us: _Optional[int] = ..., request_id: _Optional[str] = ..., topic: _Optional[str] = ..., attempt: _Optional[int] = ..., redelivered: bool = ..., traceparent: _Optional[str] = ..., tracestate: _Optional[str] = ...) -> None: ...

class RequestFrame(_message.Message):
    __slots__ = ["cancels", "requests"]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    cancels: _containers.RepeatedScalarFieldContainer[int]
    requests: _containers.RepeatedCompositeFieldContainer[Request]
    def __init__(self, requests: _Optional[_Iterable[_Union[Request, _Mapping]]] = ..., cancels: _Optional[_Iterable[int]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ["duration_us", "error", "number", "payload"]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    duration_us: int
    error: Error
    number: int
    payload: bytes
    def __init__(self, number: _Optional[int] = ..., payload: _Optional[bytes] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., duration_us: _Optional[int] = ...) -> None: ...

class ResultFrame(_message.Message):
    __slots__ = ["goodbye", "results"]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    goodbye: Goodbye
    results: _containers.RepeatedCompositeFieldContainer[Result]
    def __init__(self, results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

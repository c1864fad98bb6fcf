"""A plugin's process, spoken to as the host does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from rrhost.proto import goplugin_pb2 as gp
from rrhost.proto import handler_pb2 as pb
from rrhost.testing import Crashed, Plugin, PluginError

from .conftest import ROOT

CONFORMANCE = ROOT / "conformance"


def refused(plugin: Plugin, handler: str, request: Any, **how: Any) -> PluginError:
    with pytest.raises(PluginError) as caught:
        plugin.call(handler, request, **how)
    return caught.value


def test_handshake_and_description(conformance: Plugin) -> None:
    fields = conformance.handshake.rstrip("\n").split("|")
    assert len(fields) == 6
    assert fields[:3] == ["1", "1", "unix"]
    assert fields[4:] == ["grpc", ""]
    d = conformance.description
    assert d.name == "conformance"
    assert d.sdk == "python 1.0.0"
    assert [h.name for h in d.handlers] == [
        "echo", "info", "fail", "panic", "slow", "chatty", "huge", "typed", "settings", "exit",
    ]  # fmt: skip
    by_name = {h.name: h for h in d.handlers}
    assert not by_name["echo"].checks_payload
    assert by_name["echo"].request_schema == b""
    assert by_name["typed"].checks_payload
    assert json.loads(by_name["typed"].request_schema)["properties"]["count"] == {"type": "integer"}
    assert json.loads(d.config_schema) == {
        "type": "object",
        "properties": {"greeting": {"type": ["null", "string"]}},
        "additionalProperties": False,
    }


def test_health(conformance: Plugin) -> None:
    health = "grpc.health.v1.Health"
    answer = conformance.unary("Check", gp.HealthCheckRequest(service="plugin"), gp.HealthCheckResponse, health)
    assert answer.status == 1
    with pytest.raises(grpc.RpcError) as caught:
        conformance.unary("Check", gp.HealthCheckRequest(service="other"), gp.HealthCheckResponse, health)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_stdio_is_held_open(conformance: Plugin) -> None:
    assert conformance.channel is not None
    open_stdio = conformance.channel.unary_stream(
        "/plugin.GRPCStdio/StreamStdio", gp.Empty.SerializeToString, gp.Empty.FromString
    )
    call = open_stdio(gp.Empty())
    assert conformance.call("typed", {"name": "after it"})["name"] == "after it"
    assert call.is_active()
    call.cancel()


def test_echo(conformance: Plugin) -> None:
    for payload in (b"{}", b"", b"\x00\xff", b"x" * 1_000_000):
        assert conformance.do("echo", payload) == payload


def test_results_find_their_requests(conformance: Plugin) -> None:
    started = [conformance.start_all([("echo", f"{frame} {n}".encode()) for n in range(300)]) for frame in range(20)]
    for frame, requests in enumerate(started):
        for n, (_, result) in enumerate(requests):
            assert result.result(30) == f"{frame} {n}".encode()


def test_info(conformance: Plugin) -> None:
    info = {"request_id": "id", "topic": "t", "attempt": 3, "redelivered": True, "traceparent": "p", "tracestate": "s"}
    _, result = conformance.start("info", b"{}", timeout=60, **info)
    got = json.loads(result.result(30))
    assert 50_000 < got.pop("remaining_ms") <= 60_000
    del info["tracestate"]
    assert got == {**info, "handler": "info"}


def test_errors(conformance: Plugin) -> None:
    got = refused(conformance, "fail", {"code": "c", "message": "m", "details": {"a": [1]}})
    assert (got.status, got.code, got.message, got.details) == ("handler_error", "c", "m", {"a": [1]})
    got = refused(conformance, "typed", {"count": "x"})
    assert got.status == "invalid_payload"
    assert "count" in got.message
    got = refused(conformance, "nobody", {})
    assert got.status == "no_handler"
    assert '"nobody"' in got.message
    assert "echo, info" in got.message
    got = refused(conformance, "huge", {"bytes": 1_000_000})
    assert got.status == "reply_too_large"
    assert len(conformance.call("huge", {"bytes": 999_998})) == 999_998


def test_panic(conformance: Plugin) -> None:
    _, result = conformance.start("panic", b'{"text":"payload"}', request_id="panicked")
    with pytest.raises(PluginError) as caught:
        result.result(30)
    got = caught.value
    assert (got.status, got.code, got.message) == ("handler_error", "panic", "the handler panicked")
    line = json.loads(conformance.wait_for_log('"panicked"'))
    assert line["@level"] == "error"
    assert line["@message"] == "handler panicked"
    assert line["request_id"] == "panicked"
    assert "conformance/main.py" in line["stack"]
    assert "secret-payload" not in "\n".join(conformance.logs())


def test_deadline(conformance: Plugin) -> None:
    begin = time.monotonic()
    got = refused(conformance, "slow", {"ms": 60_000}, timeout=0.1)
    assert got.status == "deadline_exceeded"
    assert time.monotonic() - begin < 30


def test_cancel(conformance: Plugin) -> None:
    number, result = conformance.start("slow", b'{"ms":60000}', request_id="cancelled")
    conformance.cancel(number, 12345678)  # and one that is nobody's
    with pytest.raises(PluginError) as caught:
        result.result(30)
    assert caught.value.status == "deadline_exceeded"
    line = json.loads(conformance.wait_for_log("slow was cancelled"))
    assert line["@level"] == "info"
    assert conformance.call("slow", {"ms": 1}) == {"slept_ms": 1}


def test_output_is_the_log(conformance: Plugin) -> None:
    before = len(conformance.logs())
    assert conformance.call("chatty", {"lines": 50, "size": 3000}) == {"lines": 50}
    assert conformance.call("chatty", {"lines": 1, "size": 100_000}) == {"lines": 1}
    _, last = conformance.start("panic", b"{}", request_id="the last line")
    assert last.exception(30) is not None
    conformance.wait_for_log("the last line")
    lines = conformance.logs()[before:]
    assert lines.count("x" * 3000) == 100
    assert lines.count("x" * 100_000) == 2
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert sum(r["@message"] == "x" * 3000 for r in records) == 50
    [cut] = [r for r in records if r["@message"].startswith("x") and r["@message"].endswith("…")]
    assert len(cut["@message"]) > 4000
    assert all(r["@level"] == "info" and r["handler"] == "chatty" for r in records[:51])


def test_one_stream_at_a_time(conformance: Plugin) -> None:
    assert conformance.channel is not None
    other = conformance.channel.stream_stream(
        "/rrhost.plugin.v1.Handler/Handle", pb.RequestFrame.SerializeToString, pb.ResultFrame.FromString
    )
    with pytest.raises(grpc.RpcError) as caught:
        next(other(iter([]), timeout=30))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_settings() -> None:
    with Plugin(CONFORMANCE, settings={"greeting": "hello"}) as plugin:
        assert plugin.call("settings", {}) == {"greeting": "hello"}
    with pytest.raises(PluginError, match='field "greeting" is a JSON number, and a string or null is wanted'):
        Plugin(CONFORMANCE, settings={"greeting": 5})
    with pytest.raises(PluginError, match='field "other" is not known'):
        Plugin(CONFORMANCE, settings={"other": 5})


def test_exit_is_a_crash() -> None:
    with Plugin(CONFORMANCE) as plugin:
        assert plugin.call("settings", {}) == {}
        with pytest.raises(Crashed):
            plugin.call("exit", {"code": 7})
        assert plugin.popen.wait(30) == 7


def test_shutdown() -> None:
    plugin = Plugin(CONFORMANCE)
    try:
        _, running = plugin.start("slow", b'{"ms":60000}')
        plugin.shutdown()
        assert plugin.popen.wait(30) == 0
        with pytest.raises((Crashed, PluginError)):
            running.result(30)
        assert not [line for line in plugin.logs() if "Traceback" in line or "Exception" in line], plugin.logs()
    finally:
        plugin.close()


def test_half_close_ends_the_stream_after_the_results() -> None:
    with Plugin(CONFORMANCE) as plugin:
        started = plugin.start_all([("slow", b'{"ms":100}')] * 10)
        plugin.half_close()
        for _, result in started:
            assert json.loads(result.result(30)) == {"slept_ms": 100}
        plugin._threads[1].join(30)
        assert plugin.ended == grpc.StatusCode.OK
        assert plugin.last is None


def test_sigterm_finishes_what_runs() -> None:
    with Plugin(CONFORMANCE) as plugin:
        started = plugin.start_all([("slow", b'{"ms":400}')] * 10)
        assert plugin.call("typed", {"count": 1})["count"] == 1  # all have been taken
        plugin.terminate()
        while plugin.last is None:
            time.sleep(0.01)
            assert plugin.popen.poll() is None
        late, result = plugin.start("echo", b"late")
        assert late > plugin.last == 11
        for _, running in started:
            assert json.loads(running.result(30)) == {"slept_ms": 400}
        with pytest.raises(Crashed):
            result.result(30)
        assert plugin.ended == grpc.StatusCode.OK
        plugin.shutdown()
        assert plugin.popen.wait(30) == 0
        assert not [line for line in plugin.logs() if "Traceback" in line or "Exception" in line], plugin.logs()


def test_ends_with_its_host() -> None:
    with Plugin(CONFORMANCE) as plugin:
        plugin.popen.send_signal(signal.SIGINT)  # ignored
        assert plugin.call("typed", {"count": 1})["count"] == 1
        assert plugin.popen.stdin is not None
        plugin.popen.stdin.close()
        assert plugin.popen.wait(30) == 1


def test_host_hangs_up() -> None:
    with Plugin(CONFORMANCE) as plugin:
        _, running = plugin.start("slow", b'{"ms":60000}')
        plugin.call("typed", {})
        plugin.stream.cancel()
        plugin.wait_for_log("slow was cancelled")
        with pytest.raises(Crashed):
            running.result(30)


def test_token() -> None:
    with Plugin(CONFORMANCE, token="right") as plugin:
        assert plugin.call("typed", {"count": 1})["count"] == 1
        for metadata in ((), (("rrhost-token", "wrong"),), (("rrhost-token", "right"),) * 2, (("rrhost-token", ""),)):
            plugin._metadata = metadata
            for service, method, request, response in [
                ("rrhost.plugin.v1.Handler", "Describe", pb.DescribeRequest(), pb.DescribeResponse),
                ("grpc.health.v1.Health", "Check", gp.HealthCheckRequest(), gp.HealthCheckResponse),
                ("plugin.GRPCController", "Shutdown", gp.Empty(), gp.Empty),
                ("no.such.Service", "Method", gp.Empty(), gp.Empty),
            ]:
                with pytest.raises(grpc.RpcError) as caught:
                    plugin.unary(method, request, response, service)
                assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert plugin.channel is not None
            stream = plugin.channel.stream_stream(
                "/rrhost.plugin.v1.Handler/Handle", pb.RequestFrame.SerializeToString, pb.ResultFrame.FromString
            )
            with pytest.raises(grpc.RpcError) as caught:
                next(stream(iter([]), timeout=30, metadata=metadata))
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        plugin._metadata = (("rrhost-token", "right"),)
        assert plugin.call("typed", {"count": 2})["count"] == 2


def test_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-B", str(CONFORMANCE / "main.py")], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 1
    assert done.stdout == ""
    for want in ("conformance is a plugin for rrhost", "  echo\n", "[[topic]]", "rrhost run"):
        assert want in done.stderr


SCRIPT = """
import logging, os, subprocess, sys, time
print("printed early")
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from rrhost import Context, handle, serve

def blocking(seconds: float, ctx: Context) -> bool:
    return ctx.wait(seconds)

def stuck(_: object) -> None:
    time.sleep(600)

def env(name: str) -> str | None:
    return os.environ.get(name)

def child(_: object) -> int:
    return subprocess.run(["sh", "-c", "echo from a child; read x"]).returncode

def log(_: object) -> None:
    logging.getLogger("their.library").debug("a %s", "line", extra={"items": 3})
    try:
        raise ValueError("on purpose")
    except ValueError:
        logging.exception("failed")

serve(*[handle(f.__name__, f) for f in (blocking, stuck, env, child, log)], max_threads=4, version="1.2.3")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(SCRIPT)
    return tmp_path


def test_synchronous_handlers(script: Path) -> None:
    with Plugin(script) as plugin:
        assert plugin.description.name == script.name
        assert plugin.description.version == "1.2.3"
        begin = time.monotonic()
        for _, result in plugin.start_all([("blocking", b"0.3")] * 4):
            assert result.result(30) == b"false"
        assert time.monotonic() - begin < 1.1, "they ran one by one"
        # Four fill the pool: what waits for a thread is given up at its deadline.
        running = plugin.start_all([("blocking", b"60")] * 4, timeout=60)
        got = refused(plugin, "env", "HOME", timeout=0.1)
        assert got.status == "deadline_exceeded"
        plugin.cancel(*(number for number, _ in running))
        for _, result in running:
            assert result.result(30) == b"true"


def test_a_stuck_thread_does_not_keep_the_process(script: Path) -> None:
    with Plugin(script) as plugin:
        plugin.start("stuck", b"null")
        plugin.call("env", "HOME")
        plugin.half_close()
        begin = time.monotonic()
        plugin.shutdown()
        assert plugin.popen.wait(30) == 0
        assert time.monotonic() - begin < 5


def test_environment_and_children(script: Path) -> None:
    with Plugin(script, token="secret", env={"SEEN": "yes"}) as plugin:
        assert plugin.call("env", "RRHOST_TOKEN") is None
        assert plugin.call("env", "SEEN") == "yes"
        assert plugin.call("child", None) == 1  # its stdin is empty, and not the host's pipe
        plugin.wait_for_log("from a child")


def test_logging(script: Path) -> None:
    with Plugin(script) as plugin:
        plugin.wait_for_log("printed early")
        _, result = plugin.start("log", b"null", request_id="logged")
        result.result(30)
        plugin.wait_for_log("on purpose")
        lines = [r for r in plugin.records() if r.get("request_id") == "logged"]
        assert [(r["@level"], r["@message"]) for r in lines] == [("debug", "a line"), ("error", "failed")]
        assert lines[0]["logger"] == "their.library"
        assert lines[0]["items"] == 3
        assert "ValueError: on purpose" in lines[1]["exception"]


def test_what_cannot_serve(script: Path) -> None:
    with pytest.raises(Crashed, match="tls = false"):
        Plugin(script, env={"PLUGIN_CLIENT_CERT": "pem"})
    (script / "grpc.py").write_text("raise ImportError('no module cygrpc')")
    with pytest.raises(Crashed, match=r"no module cygrpc; is it installed for Python 3.*--target vendor"):
        Plugin(script)
    (script / "grpc.py").unlink()
    long = script / ("x" * 60) / ("y" * 60)
    long.mkdir(parents=True)
    with pytest.raises(Crashed, match="too long for the path of a unix socket"):
        Plugin(script, env={"PLUGIN_UNIX_SOCKET_DIR": str(long)})
    for last, want in [
        ("serve()", "a plugin has at least one handler"),
        ("serve(handle('a', f), handle('a', f))", "two handlers are named 'a'"),
        ("serve(handle('a', f), max_threads=0)", "max_threads is 0"),
        ("serve(handle('a', f), on_configure=lambda: None)", "on_configure: "),
    ]:
        (script / "main.py").write_text(f"from rrhost import handle, serve\nf = lambda _: None\n{last}\n")
        with pytest.raises(Crashed, match=want):
            Plugin(script)


ON_CONFIGURE = """
import asyncio
from rrhost import HandlerError, handle, serve

async def configure(settings: dict[str, str]) -> None:
    await asyncio.sleep(0)
    if settings.get("do") == "refuse":
        raise ValueError("do must not be refuse")
    if settings.get("do") == "fail":
        raise KeyError("secret")

serve(handle("a", lambda _: None), on_configure=configure)
"""


def test_on_configure(script: Path) -> None:
    (script / "main.py").write_text(ON_CONFIGURE)
    with Plugin(script, settings={"any": "key"}) as plugin:
        assert plugin.call("a", 1) is None
        assert json.loads(plugin.description.config_schema)["additionalProperties"] == {"type": "string"}
    with pytest.raises(PluginError, match="refused: do must not be refuse"):
        Plugin(script, settings={"do": "refuse"})
    with pytest.raises(PluginError, match="on_configure raised KeyError; the log has its lines") as caught:
        Plugin(script, settings={"do": "fail"})
    assert "secret" not in str(caught.value)


def test_without_on_configure_settings_are_refused(script: Path) -> None:
    (script / "main.py").write_text("from rrhost import handle, serve\nserve(handle('a', lambda _: None))\n")
    with pytest.raises(PluginError, match="this plugin takes no configuration"):
        Plugin(script, settings={"any": "key"})
    with Plugin(script) as plugin:
        assert json.loads(plugin.description.config_schema) == {"type": "object", "additionalProperties": False}


def test_messages_up_to_the_hosts_bound(script: Path) -> None:
    with Plugin(CONFORMANCE, max_message=8 << 20) as plugin:
        payload = b"x" * (7 << 20)
        _, result = plugin.start("typed", payload)
        with pytest.raises(PluginError, match="invalid_payload"):
            result.result(30)

"""The `onward` program as a user runs it: a subprocess, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

ONWARD = Path(sysconfig.get_path("scripts")) / "onward"
# A cold start takes 5 s alone on two cores, more among other tests.
READY_TIMEOUT_S = 90.0
COMMAND_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0


@dataclass(frozen=True)
class Finished:
    """What a command ended with."""

    code: int
    out: str
    err: str


class Onward:
    """Runs commands on one data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __call__(self, *words: str, stdin: str = "") -> Finished:
        ended = subprocess.run(
            [ONWARD, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(self.data),
            timeout=COMMAND_TIMEOUT_S,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def done(self, *words: str, stdin: str = "") -> str:
        """Run a command that must succeed, and give what it printed."""
        ended = self(*words, stdin=stdin)
        assert ended.code == 0, ended
        return ended.out

    def json(self, *words: str, stdin: str = "") -> Any:
        return json.loads(self.done(*words, "--json", stdin=stdin))


def environment(data: Path | None = None) -> dict[str, str]:
    """Give the caller's environment without variables of ours, so that tests do not depend on it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    # Wide enough that no table folds what is looked for.
    kept |= {"COLUMNS": "200", "TERM": "dumb"}
    return kept | ({"ONWARD_DATA": str(data)} if data else {})


@dataclass
class Up:
    """A running `onward up`."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    def family(self) -> list[psutil.Process]:
        """Everything that it has started, at this moment."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        code = self.process.wait(STOP_TIMEOUT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def start(data: Path, *options: str, variables: Mapping[str, str] | None = None) -> Up:
    """Start `onward up`, with `variables` added to the environment, and return when it is ready."""
    log = (data.parent / "up.log").open("a")
    with log:
        command = [str(ONWARD), "up", "--json", *options]
        env = environment(data) | dict(variables or {})
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
    assert process.stdout is not None
    # A stack that does not become ready is ended, so that readline returns.
    watchdog = threading.Timer(READY_TIMEOUT_S, process.terminate)
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
    assert line, (data.parent / "up.log").read_text()
    return Up(process, json.loads(line))


@contextmanager
def running(data: Path) -> Iterator[Onward]:
    """Run a stack for the block."""
    up = start(data)
    try:
        yield Onward(data)
    finally:
        assert up.stop() == 0


class Api:
    """An HTTP server that functions call: keeps what it was sent, answers by `answers` in turn, then 200.

    What is posted to /status/400 is answered with that. With `echoing`, each answer tells what it was sent.
    """

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.echoing = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                api.bodies.append(json.loads(body))
                api.headers.append(dict(self.headers.items()))
                api.paths.append(self.path)
                self.send_response(api.status(self.path))
                told = f"{self.path}\n{self.headers}".encode() + body if api.echoing else b"{}"
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def status(self, path: str) -> int:
        _, _, asked = path.partition("/status/")
        if asked:
            return int(asked[:3])
        return self.answers.pop(0) if self.answers else 200

    @contextmanager
    def listening(self) -> Iterator[Api]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

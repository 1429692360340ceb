"""The program behind `onward functions run-local`: what a line is answered with."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf import json_format

from onward.executor.v1 import execution_service_pb2 as pb
from services.executor.handlers.function_tests import FunctionTests
from services.executor.run_local import answer


class Broken:
    """A fault of ours in whatever runs."""

    async def run(self, *_: Any) -> None:
        raise ZeroDivisionError("by zero")


async def test_a_fault_is_an_answer_and_not_the_end() -> None:
    request = pb.TestFunctionRequest(name="workspaces/local", code="onTrack = () => 1", event="{}")
    line = json_format.MessageToJson(request, indent=None).encode()
    error = (await answer(cast("FunctionTests", Broken()), line))["error"]
    assert error["code"] == "INTERNAL"


async def test_a_line_that_is_no_request_is_told_so() -> None:
    error = (await answer(cast("FunctionTests", Broken()), b"{"))["error"]
    assert (error["code"], error["message"].startswith("no TestFunctionRequest")) == ("INVALID_ARGUMENT", True)

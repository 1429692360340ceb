"""What the author of code should look at: the executor finds it when it checks the code, and a save answers it."""

from __future__ import annotations

from onward.executor.v1 import execution_service_pb2
from onward.registry.v1 import function_service_pb2


def warnings_of(found: execution_service_pb2.CheckCodeResponse) -> list[function_service_pb2.CodeWarning]:
    """In the executor's order."""
    return [
        function_service_pb2.CodeWarning(rule=one.rule, message=one.message, line=one.line, column=one.column)
        for one in found.warnings
    ]

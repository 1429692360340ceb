"""Rules declared in the protos, run once per request."""

from typing import TYPE_CHECKING

import protovalidate
from google.protobuf.message import Message

from kit.errors import InvalidArgument

if TYPE_CHECKING:
    from protovalidate._gen.buf.validate.validate_pb import FieldPathElement

# More would not be read, and would not fit into the answer.
VIOLATIONS_SHOWN_MAX = 20

_validator = protovalidate.Validator()


def validate(request: Message) -> None:
    """Raise `InvalidArgument` with every violation of the request's rules."""
    found = _validator.collect_violations(request)
    if not found:
        return
    violations = [_shown(v) for v in found[:VIOLATIONS_SHOWN_MAX]]
    field, description = violations[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise InvalidArgument(f"{field or 'The request'}: {description}{more}", violations=violations)


def _shown(violation: protovalidate.Violation) -> tuple[str, str]:
    proto = violation.proto
    elements = proto.field.elements if proto.field is not None else ()
    return _path(elements), proto.message or f"breaks rule {proto.rule_id}"


def _path(elements: "list[FieldPathElement] | tuple[()]") -> str:
    """`settings.apiKey` and `filters[2].name`, as a caller would write it."""
    path = ""
    for element in elements:
        path += f".{element.field_name}" if path else str(element.field_name)
        subscript = element.subscript
        if subscript is None:
            continue
        path += f"[{subscript.value}]" if subscript.field == "index" else f".{subscript.value}"
    return path

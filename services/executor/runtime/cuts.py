"""The caps of what is kept of an attempt, and its texts brought under them once they hold no secret.

The sandbox cuts at the same caps, before anybody knows where secrets stand. So a text that comes with the mark of a
cut may end with the head of a secret, which is masked here like a whole one. Redaction can also lengthen a text, so
the caps are applied once more after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import orjson

from services.executor.runtime.jobs import LogLine
from services.executor.runtime.redaction import REDACTED, Redactor

# In characters. js/failure.js, js/host.js and js/pump.js hold the same numbers.
ERROR_NAME_MAX: Final = 256
ERROR_MESSAGE_MAX: Final = 8 * 1024
ERROR_STACK_MAX: Final = 16 * 1024
CONSOLE_LINE_MAX: Final = 8 * 1024
CONSOLE_TOTAL_MAX: Final = 64 * 1024
VALUE_MAX: Final = 16 * 1024
CUT_MARK: Final = "… [cut]"
SPLIT_NOTE: Final = "[a secret was split over several lines]"
# Strings and numbers of JSON.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')


def cut_text(text: str, characters_max: int) -> str:
    """The text under its cap, with the mark if it is or was cut."""
    kept = text.removesuffix(CUT_MARK)
    return text if len(kept) <= characters_max else kept[:characters_max] + CUT_MARK


def redacted_text(redactor: Redactor, text: str, characters_max: int) -> str:
    """A text of an attempt, which may have been cut in the sandbox, without secrets and under its cap."""
    kept = text.removesuffix(CUT_MARK)
    if kept == text:
        return cut_text(redactor.text(text), characters_max)
    return cut_text(redactor.cut_text(kept) + CUT_MARK, characters_max)


def redacted_value(redactor: Redactor, value: bytes, *, cut: bool) -> tuple[bytes, bool]:
    """What a handler returned (`cut` is Outcome.value_cut) without secrets and under its cap, and whether it is cut.

    What is not cut is JSON: a number that holds a secret becomes a string.
    """
    text = value.decode("utf-8", "surrogateescape")
    kept = redactor.cut_text(text) if cut else _redacted_json(redactor, text)
    return kept[:VALUE_MAX].encode("utf-8", "surrogateescape"), cut or len(kept) > VALUE_MAX


def _redacted_json(redactor: Redactor, text: str) -> str:
    masked = redactor.text(text)
    if masked == text or _is_json(masked):
        return masked
    masked = _TOKEN.sub(lambda found: _redacted_token(redactor, found[0]), text)
    # A secret over several tokens, or one that began within an escape.
    return masked if _is_json(masked) and not redactor.contains(masked) else f'"{REDACTED}"'


def _redacted_token(redactor: Redactor, token: str) -> str:
    if token[0] == '"':
        return f'"{redactor.text(token[1:-1])}"'
    return f'"{redactor.text(token)}"' if redactor.contains(token) else token


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text.encode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return False
    return True


def redacted_lines(redactor: Redactor, lines: Iterable[LogLine]) -> list[LogLine]:
    """A console without secrets and under its caps; a last line tells of a secret split over several."""
    found = list(lines)
    texts = [line.text for line in found]
    whole = redactor.mask_splits(texts)
    kept: list[LogLine] = []
    room = CONSOLE_TOTAL_MAX
    for line, text in zip(found, whole, strict=True):
        shown = cut_text(redacted_text(redactor, text, CONSOLE_LINE_MAX), room)
        kept.append(replace(line, text=shown))
        room -= len(shown)
        if room < 0:
            break
    if whole != texts:
        kept.append(LogLine("warn", found[-1].time_ms, SPLIT_NOTE))
    return kept

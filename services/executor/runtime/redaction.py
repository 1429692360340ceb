"""Secrets out of everything that is kept: logs, errors, captured requests and responses."""

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"
# Shorter values would blank out ordinary words, and are no secrets.
SECRET_CHARS_MIN: Final = 6
# The longest credential in use is a private key of a few KiB; of longer values only the plain and the
# JSON forms are looked for.
ENCODED_CHARS_MAX: Final = 8 << 10
# A cut may leave this many characters of a secret less one. Looking for fewer would mask the end of every other
# text that was cut, since some form of some secret nearly always begins as that text happens to end.
HEAD_CHARS_MIN: Final = 3
# Lines of one secret that are looked for by themselves: the longest setting holds 380 lines of PEM.
LINES_MAX: Final = 512
# What joins the lines of a secret that was logged in parts: nothing, or the line breaks of a private key.
_SEPARATORS: Final = ("", "\n")

_SENSITIVE_NAME: Final = re.compile(
    r"authorization|authenticate|cookie|token|secret|signature|password|passwd|credential|session"
    r"|api-?key|(?:^|[-_])key(?:$|[-_])|key$|(?:^|[-_])auth(?:$|[-_])",
    re.IGNORECASE,
)
# Sent by Onward itself or of public meaning, though their names match.
_HARMLESS_NAMES: Final = frozenset(("idempotency-key", "sec-websocket-key"))


def is_sensitive_header(name: str) -> bool:
    """Whether a header's value is never kept: authorization, cookies, names that speak of keys or tokens."""
    return _SENSITIVE_NAME.search(name) is not None and name.lower() not in _HARMLESS_NAMES


class Redactor:
    """Replaces every form of the given secrets in texts; one for each settings revision.

    Forms are searched one by one: for 20 secrets in 16 KiB of text that takes 0.5 ms, where one compiled
    alternation of the same 260 forms takes 7 ms and 19 ms more to compile.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        # The line break at the end of a pasted key is easily lost on its way into a text.
        for value in secrets:
            for secret in {value, value.strip()}:
                if len(secret) >= SECRET_CHARS_MIN:
                    forms |= _forms(secret)
        # Longest first, so that a secret within another does not leave the other's rest.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._folded = [form.lower() for form in self._forms]

    def text(self, text: str) -> str:
        """The text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return text

    def name(self, name: str) -> str:
        """A header's name or a method without secrets, whose case is lost; in lower case where there was one."""
        folded = kept = name.lower()
        for form in self._folded:
            if form in kept:
                kept = kept.replace(form, REDACTED)
        return name if kept == folded else kept

    def data(self, data: bytes, *, cut: bool = False) -> bytes:
        """Bytes of any kind without secrets; what is not UTF-8 passes through unharmed. For `cut` see `cut_text`."""
        if not self._forms:
            return data
        text = data.decode("utf-8", "surrogateescape")
        return (self.cut_text(text) if cut else self.text(text)).encode("utf-8", "surrogateescape")

    def contains(self, text: str) -> bool:
        return any(form in text for form in self._forms)

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Headers with sensitive values masked whole and secrets removed from the rest, names included."""
        return [
            (self.name(name), REDACTED if is_sensitive_header(name) else self.text(value)) for name, value in headers
        ]

    def cut_text(self, text: str) -> str:
        """A text whose end was cut off, without secrets and without the head of one that the cut went through."""
        start = self._head_at_end(text)
        return self.text(text) if start == len(text) else self.text(text[:start]) + REDACTED

    def mask_splits(self, texts: Iterable[str]) -> list[str]:
        """The texts without the parts of secrets that show when they are read one after the other; no others."""
        parts = list(texts)
        for separator in _SEPARATORS if len(parts) > 1 else ():
            parts = self._masked(parts, separator)
        return parts

    def _head_at_end(self, text: str) -> int:
        """Where the longest head of a secret begins with which the text ends, else the text's length."""
        size = start = len(text)
        for form in self._forms:
            at = text.find(form[:HEAD_CHARS_MIN], max(0, size - len(form)))
            while 0 <= at < start:
                # The last character first: in a text of one repeated character most places fail there.
                if form[size - at - 1] == text[-1] and form.startswith(text[at:]):
                    start = at
                at = text.find(form[:HEAD_CHARS_MIN], at + 1)
        return min((at for at, end in self._spans(text, start) if at < start < end), default=start)

    def _spans(self, text: str, around: int = -1) -> Iterator[tuple[int, int]]:
        """Where secrets stand: all of them, or only those that may reach over a place."""
        for form in self._forms:
            at = text.find(form, max(0, around - len(form)))
            while at >= 0 and (around < 0 or at < around):
                yield at, at + len(form)
                at = text.find(form, at + 1)

    def _masked(self, parts: list[str], separator: str) -> list[str]:
        """The parts with a mask over each piece of a secret that reaches over a border of theirs."""
        ends = list(accumulate(len(part) + len(separator) for part in parts))
        crossing = _merged(
            (start, end)
            for start, end in self._spans(separator.join(parts))
            if bisect_right(ends, start) != bisect_right(ends, end - 1)
        )
        if not crossing:
            return parts
        begins = [0, *ends[:-1]]
        return [_without(part, begin, crossing) for part, begin in zip(parts, begins, strict=True)]


def _without(part: str, begin: int, spans: Iterable[tuple[int, int]]) -> str:
    """A part that stands at `begin` of a longer text, with one mask over each run of characters within spans."""
    kept, at = "", 0
    for start, end in spans:
        left, right = max(start - begin, at), min(end - begin, len(part))
        if left < right:
            kept, at = kept + part[at:left] + REDACTED, right
    return kept + part[at:]


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _forms(secret: str) -> set[str]:
    """The ways in which a secret is commonly written."""
    forms = {secret, *_escaped(secret)}
    # Node's inspect and indenting consoles break a text into its lines.
    lines = [line.strip() for line in secret.splitlines()[:LINES_MAX]]
    for line in lines if len(lines) > 1 else ():
        forms |= {line, *_escaped(line)}
    if len(secret) <= ENCODED_CHARS_MAX:
        raw = secret.encode("utf-8", "surrogatepass")
        forms |= _base64_forms(raw)
        forms |= {raw.hex(), raw.hex().upper()}
        forms |= {quote(raw, safe=""), quote(raw, safe="!'()*"), quote(raw, safe="/"), quote_plus(raw)}
        forms |= {_lower_escapes(form) for form in forms if "%" in form}
    return {form for form in forms if len(form) >= SECRET_CHARS_MIN}


def _escaped(secret: str) -> set[str]:
    """As JSON writes it, plain or in ASCII, with or without escaped slashes, or twice escaped; and as Node's inspect.

    Inspect escapes as JSON does, but picks quotes that the text does not hold.
    """
    forms = {'"'.join(json.dumps(part, ensure_ascii=False)[1:-1] for part in secret.split('"'))}
    for ensure_ascii in (True, False):
        once = json.dumps(secret, ensure_ascii=ensure_ascii)[1:-1]
        twice = json.dumps(once, ensure_ascii=ensure_ascii)[1:-1]
        forms |= {once, twice, once.replace("/", "\\/")}
    return forms


def _base64_forms(raw: bytes) -> set[str]:
    """What every base64 text that contains the bytes must contain, whatever stands before and after them.

    Base64 turns 3 bytes into 4 characters, so bytes look different at each of three offsets; the characters
    at either end that also depend on the neighbours are left out. Whole encodings are there too, with their
    padding.
    """
    forms: set[str] = set()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode("ascii")
        start = (0, 2, 3)[offset]  # characters that hold bits of the bytes before
        end = (offset + len(raw)) * 8 // 6  # characters that hold no bits of the bytes after
        forms.add(encoded[start:end])
        forms.add(encoded[start:])
        forms.add(encoded[start:].rstrip("="))
    return forms | {form.translate(_URL_SAFE) for form in forms}


_URL_SAFE: Final = str.maketrans("+/", "-_")


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), text)

"""V8 through mini-racer's shared library, called directly.

mini-racer's own Python API costs 200 us and more a call; its library costs 3 us a task when the next task is posted
from the callback of the last. The library's interface is private to mini-racer, so the version is pinned here and in
pyproject.toml, and `check_abi` fails loudly when anything that we rely on has moved.

Every operation is a task of the isolate's own thread; its result arrives in a callback *on that thread*, after which
V8 drains the microtasks before the next task. A callback must not wait for another operation of the same isolate.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import threading
import traceback
from collections.abc import Callable
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any, Final

VERSION: Final = "0.14.1"
V8_VERSION: Final = "14.4.258.23"

# An unknown flag makes V8 ignore all later ones, so what matters most comes first.
FLAGS: Final = (
    "--single-threaded",  # no V8 worker threads: they do not survive a fork
    "--max-heap-size=256",  # MiB, behind the limit that the isolate itself is given
    "--max-semi-space-size=4",  # MiB: a third of the memory of a busy worker, and no slower
    "--enable-experimental-regexp-engine-on-excessive-backtracks",  # catastrophic patterns end in linear time
)
JITLESS_FLAG: Final = "--jitless"

# mini-racer's value types, as its _objects.py lists them.
NULL: Final = 1
STRING: Final = 5
UNDEFINED: Final = 11
FUNCTION: Final = 100
ARRAY_BUFFER: Final = 102
FIRST_ERROR: Final = 200
PARSE_ERROR: Final = 201

# Callback ids. Results of `call` and `evaluate` come under 0; the rest is the owner's.
SYNCHRONOUS: Final = 0

_LOOK_S: Final = 0.02

ERROR_CHARS_MAX: Final = 8 * 1024  # V8 quotes the offending line, which may be a whole minified bundle

Raw = int  # address of mini-racer's value struct
_TYPE_AT: Final = 16  # in that struct

# Members of V8's own API that mini-racer's library exports beside its own, by their mangled names: what puts the object
# with V8's extras, which contexts keep from scripts, on the global object.
_EXTRAS: Final = {
    "_ZN2v87Isolate10GetCurrentEv": (ctypes.c_void_p, ()),
    "_ZN2v87Isolate17GetCurrentContextEv": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "_ZN2v87Context22GetExtrasBindingObjectEv": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "_ZN2v87Context6GlobalEv": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "_ZN2v86Object3SetENS_5LocalINS_7ContextEEEjNS1_INS_5ValueEEE": (
        ctypes.c_uint16, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
    ),
}  # fmt: skip
_EXPOSING: Final = 2**32  # a callback id; owners use small ones
_SET: Final = 0x0101  # Maybe<bool>: there is an answer, and it is true


class V8Error(Exception):
    """JavaScript threw, or could not be compiled (`kind` tells)."""

    def __init__(self, kind: int, text: str) -> None:
        super().__init__(text[:ERROR_CHARS_MAX])
        self.kind = kind
        self.text = text  # all of it: the position stands behind the line that V8 quotes


class AbiChangedError(RuntimeError):
    """mini-racer is not the version that this module was written for."""


def initialise(*, jitless: bool = False) -> ctypes.CDLL:
    """Load the library and start V8 in this process: once, before the first isolate."""
    from py_mini_racer._dll import init_mini_racer

    flags = (FLAGS[0], JITLESS_FLAG, *FLAGS[1:]) if jitless else FLAGS
    library: ctypes.CDLL = init_mini_racer(flags=flags, ignore_duplicate_init=True)
    check_abi(library)
    return library


def check_abi(library: ctypes.CDLL) -> None:
    """Raise AbiChangedError unless library and package are exactly the ones we know."""
    from py_mini_racer._dll import MR_CALLBACK, _RawValue
    from py_mini_racer._objects import _MiniRacerTypes as Types

    found = version("mini-racer"), library.mr_v8_version().decode()
    types = Types.null, Types.str_utf8, Types.undefined, Types.function, Types.array_buffer, Types.execute_exception
    layout = [name for name, _ in _RawValue._fields_]
    if not found[1].startswith(V8_VERSION) or found[0] != VERSION:
        raise AbiChangedError(f"mini-racer {VERSION} with V8 {V8_VERSION} is needed, found {found}")
    if types != (NULL, STRING, UNDEFINED, FUNCTION, ARRAY_BUFFER, FIRST_ERROR):
        raise AbiChangedError(f"mini-racer numbers its types differently: {types}")
    if layout != ["value", "len", "type"] or ctypes.sizeof(_RawValue) != 17:
        raise AbiChangedError(f"mini-racer lays its values out differently: {layout}")
    if MR_CALLBACK._argtypes_[0] is not ctypes.c_uint64:
        raise AbiChangedError("mini-racer calls back with other arguments")
    if missing := [name for name in _EXTRAS if not hasattr(library, name)]:
        raise AbiChangedError(f"mini-racer does not export {', '.join(missing)}: events could not be told apart")


@functools.cache
def _quick(library: ctypes.CDLL) -> ctypes.PyDLL:
    """The calls that wait for nothing, without letting go of the GIL, and with addresses in place of pointer objects.

    Both together take a third of the time of a task.
    """
    quick = ctypes.PyDLL("", handle=library._handle)
    address, number = ctypes.c_void_p, ctypes.c_uint64
    for name, result, arguments in (
        ("mr_free_value", None, [number, address]),
        ("mr_alloc_int_val", address, [number, ctypes.c_int64, ctypes.c_uint8]),
        ("mr_alloc_string_val", address, [number, ctypes.c_char_p, number, ctypes.c_uint8]),
        ("mr_eval", number, [number, address, number]),
        ("mr_call_function", number, [number, address, address, address, number]),
        ("mr_hard_memory_limit_reached", ctypes.c_bool, [number]),
    ):
        function = getattr(quick, name)
        function.restype, function.argtypes = result, arguments
    return quick


@functools.cache
def _extras(library: ctypes.CDLL) -> tuple[Callable[..., Any], ...]:
    functions = []
    held = ctypes.PyDLL("", handle=library._handle)
    for name, (result, arguments) in _EXTRAS.items():
        function = getattr(held, name)
        function.restype, function.argtypes = result, arguments
        functions.append(function)
    return tuple(functions)


class Isolate:
    """One V8 isolate with one context and one thread; use it from one other thread only."""

    def __init__(self, library: ctypes.CDLL, callbacks: dict[int, Callable[[Raw], None]]) -> None:
        """`callbacks` maps callback ids to functions that run on the isolate's thread and must free their value."""
        from py_mini_racer._dll import MR_CALLBACK

        self._library = library
        self._quick = quick = _quick(library)
        self._callbacks = callbacks
        self._results: SimpleQueue[Raw] = SimpleQueue()
        self.thread_id = 0
        # Called now and then while a synchronous operation takes its time.
        self.while_waiting: Callable[[], None] = lambda: None
        callbacks[SYNCHRONOUS] = self._results.put
        self._callback = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_void_p)(self._on_result)
        self.context: int = library.mr_init_context(ctypes.cast(self._callback, MR_CALLBACK))
        # Gives a value back. A partial, since it is called for every task.
        self.free: Callable[[Raw], None] = functools.partial(quick.mr_free_value, self.context)
        self.undefined: Raw = quick.mr_alloc_int_val(self.context, 0, UNDEFINED)
        self.no_arguments = self.evaluate("[]")

    def _on_result(self, callback_id: int, raw: Raw) -> None:
        if not self.thread_id:
            # ctypes makes a Python thread state for each callback of a foreign thread and drops it afterwards.
            # Holding on to the first one takes 8 of 12 us off every task.
            ctypes.pythonapi.PyGILState_Ensure()
            self.thread_id = threading.get_ident()
        try:
            self._callbacks[callback_id](raw)
        except BaseException:  # noqa: BLE001 - nobody could catch it: this frame was called from C++
            traceback.print_exc()
            os._exit(70)

    def evaluate(self, code: str) -> Raw:
        """Run a script; its completion value stays the caller's to free. Raises V8Error."""
        data = code.encode("utf-8", "surrogatepass")
        text = self._quick.mr_alloc_string_val(self.context, data, len(data), STRING)
        self._quick.mr_eval(self.context, text, SYNCHRONOUS)
        result = self._await_result()
        self.free(text)
        return self._checked(result)

    def call(self, function: Raw, argument: bytes | None = None) -> bytes | None:
        """Call with one string or nothing as `this`; answers a string's UTF-8, or None. Raises V8Error.

        `this` crosses together with the call. An array of arguments would have to be filled first, which waits for the
        isolate's thread. Only a function in strict mode sees the string itself.
        """
        return self.take(self.call_raw(function, argument))

    def call_raw(self, function: Raw, argument: bytes | None = None, value: Raw | None = None) -> Raw:
        """Like `call`, with the result left as a value that the caller frees."""
        self.post(function, SYNCHRONOUS, argument, value)
        return self._checked(self._await_result())

    def post(self, function: Raw, callback_id: int, argument: bytes | None = None, value: Raw | None = None) -> int:
        """Queue a call; its result goes to the callback."""
        call, context = self._quick.mr_call_function, self.context
        if argument is None:
            return int(call(context, function, value or self.undefined, self.no_arguments, callback_id))
        text = self._quick.mr_alloc_string_val(context, argument, len(argument), STRING)
        task = int(call(context, function, text, self.no_arguments, callback_id))
        self.free(text)  # the task has its own hold on it
        return task

    def poster(self, function: Raw, callback_id: int) -> Callable[[], object]:
        """`post` without an argument, as cheap as it gets."""
        arguments = self.context, function, self.undefined, self.no_arguments, callback_id
        return functools.partial(self._quick.mr_call_function, *arguments)

    def function(self, callback_id: int) -> Raw:
        """A JavaScript function that calls back synchronously, on the isolate's thread."""
        return _address(self._library.mr_make_js_callback(self.context, callback_id))

    def expose_extras(self) -> None:
        """Put V8's extras on the global object, under 0; the prelude takes them away before user code runs."""
        isolate, context, extras, global_object, set_ = _extras(self._library)

        def expose(raw: Raw) -> None:
            self.free(raw)
            here = context(isolate())
            if set_(global_object(here), here, 0, extras(here)) != _SET:
                raise AbiChangedError("V8 does not give its extras: events could not be told apart")

        # Only what JavaScript calls runs within a scope of handles.
        self._callbacks[_EXPOSING] = expose
        caller = self.evaluate("(function () { 'use strict'; this() })")
        function = self.function(_EXPOSING)
        self.free(self.call_raw(caller, value=function))
        self.free(caller)
        self.free(function)
        del self._callbacks[_EXPOSING]

    def bytes_of(self, raw: Raw) -> bytes | None:
        """The UTF-8 of a string value, else None; the value is not freed."""
        type_ = _type_of(raw)
        if type_ == STRING or type_ >= FIRST_ERROR:
            return ctypes.string_at(*_memory(raw))
        return None

    @staticmethod
    def failed(raw: Raw) -> bool:
        """Whether the task ended with an exception."""
        return _type_of(raw) >= FIRST_ERROR

    def take(self, raw: Raw) -> bytes | None:
        """`bytes_of`, and free the value."""
        result = self.bytes_of(raw)
        self.free(raw)
        return result

    def memory(self, raw: Raw) -> tuple[int, int]:
        """Address and length of an ArrayBuffer, which JavaScript must keep alive."""
        if _type_of(raw) != ARRAY_BUFFER:
            raise AbiChangedError(f"an ArrayBuffer came as type {_type_of(raw)}")
        return _memory(raw)

    def heap_used(self) -> int:
        """Bytes of the heap in use, garbage included; asking takes 0.1 MB and 2 ms. Waits for what runs."""
        return int(json.loads(self.take(_address(self._library.mr_heap_stats(self.context))) or b"")["used_heap_size"])

    def collect_garbage(self) -> None:
        """Collect all that can be, and give it back. Waits for what runs."""
        self._library.mr_low_memory_notification(self.context)

    def limit_heap(self, heap_bytes: int) -> None:
        """Terminate whatever runs once more than this is in use after a collection."""
        self._library.mr_set_hard_memory_limit(self.context, heap_bytes)

    def watch_heap(self, heap_bytes: int) -> None:
        """Remember when more than this is in use after a collection; `heap_filled` tells."""
        self._library.mr_set_soft_memory_limit(self.context, heap_bytes)

    def heap_filled(self) -> bool:
        """Whether more than what `watch_heap` was given was in use after the last collection. Takes 0.3 us."""
        return bool(self._library.mr_soft_memory_limit_reached(self.context))

    def heap_exceeded(self) -> bool:
        """Whether the heap limit was hit; what ran then is gone without a result."""
        return bool(self._quick.mr_hard_memory_limit_reached(self.context))

    def _await_result(self) -> Raw:
        while True:
            with contextlib.suppress(Empty):
                return self._results.get(timeout=_LOOK_S)
            self.while_waiting()

    def _checked(self, raw: Raw) -> Raw:
        kind = _type_of(raw)
        if kind < FIRST_ERROR:
            return raw
        raise V8Error(kind, (self.take(raw) or b"").decode("utf-8", "replace"))


def _address(pointer: Any) -> Raw:
    return ctypes.addressof(pointer.contents)


def _type_of(raw: Raw) -> int:
    return int(ctypes.c_uint8.from_address(raw + _TYPE_AT).value)


def _memory(raw: Raw) -> tuple[int, int]:
    """What the struct points at: address and length in bytes."""
    address, length = (ctypes.c_uint64 * 2).from_address(raw)
    return address, length

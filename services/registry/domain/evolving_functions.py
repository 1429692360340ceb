"""Facts of functions and their versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from onward.registry.v1 import facts_pb2
from services.registry.domain.folding import end, with_entries
from services.registry.domain.state import FunctionState, State, VersionState


def _function_created(state: State, fact: facts_pb2.FunctionCreated) -> State:
    function = FunctionState(
        fact.function,
        revision=1,
        display_name=fact.display_name,
        description=fact.description,
        labels=dict(fact.labels),
    )
    return _with_function(state, function)


def _function_updated(state: State, fact: facts_pb2.FunctionUpdated) -> State:
    function = state.functions[fact.function]
    if fact.HasField("display_name"):
        function = replace(function, display_name=fact.display_name)
    if fact.HasField("description"):
        function = replace(function, description=fact.description)
    if fact.HasField("labels"):
        function = replace(function, labels=dict(fact.labels.labels))
    return _with_function(state, replace(function, revision=function.revision + 1))


def _function_deleted(state: State, fact: facts_pb2.FunctionDeleted) -> State:
    return end(state, "functions", fact.function)


def _function_version_saved(state: State, fact: facts_pb2.FunctionVersionSaved) -> State:
    function = state.functions[fact.function]
    assert fact.number == len(function.versions) + 1, "versions are contiguous from 1"
    version = VersionState(
        number=fact.number,
        code_sha256=fact.code_sha256,
        definitions=tuple(fact.definitions),
        timeout_ms=fact.timeout_ms,
        handlers=tuple(fact.handlers),
    )
    function = replace(function, revision=function.revision + 1, versions=(*function.versions, version))
    return _with_function(state, function)


def _version_deployed(state: State, fact: facts_pb2.VersionDeployed) -> State:
    function = state.functions[fact.function]
    moved = {name: replace(state.destinations[name], version=fact.number) for name in fact.destinations}
    state = with_entries(state, "destinations", moved)
    return _with_function(state, replace(function, revision=function.revision + 1))


def _with_function(state: State, function: FunctionState) -> State:
    return with_entries(state, "functions", {function.id: function})


EVOLVERS: Mapping[type[Message], Callable[[State, Any], State]] = {
    facts_pb2.FunctionCreated: _function_created,
    facts_pb2.FunctionUpdated: _function_updated,
    facts_pb2.FunctionDeleted: _function_deleted,
    facts_pb2.FunctionVersionSaved: _function_version_saved,
    facts_pb2.VersionDeployed: _version_deployed,
}

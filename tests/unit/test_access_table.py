"""H1: every RPC says who may call it, in a way that can be checked, and the page about it is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from kit.rpc.access import declared_access, undeclared
from onward.common.v1 import access_pb2
from tests.integration.access_table import GONE_FOR, INSIDERS, NEEDS, NOTHING, OPERATORS, SERVICES, WHO
from tools import permissions

ROOT = Path(__file__).resolve().parents[2]
METHODS = {permissions.short_name(one): one for one in permissions.methods()}
# Services repeat these by themselves, and twice does no harm.
WITHOUT_REQUEST_ID = {"registry.InternalService.RecordDenial", "registry.InternalService.ReportExecutor"}
# They come with a release, a handful.
WITHOUT_PAGES = {"registry.FunctionService.ListTemplates"}


def comment_on_message(method: MethodDescriptor) -> str:
    """What the proto says above a method's request."""
    found = re.search(rf"((?:^//.*\n)+)message {method.input_type.name} {{", proto_of(method), re.MULTILINE)
    return found[1] if found else ""


def comment_on_field(method: MethodDescriptor, field: str) -> str:
    """What the proto says above a field of a method's request."""
    body = re.search(rf"^message {method.input_type.name} {{\n(.*?)^}}", proto_of(method), re.MULTILINE | re.DOTALL)
    found = re.search(rf"((?:^ +//.*\n)+) +string {field} = ", body[1], re.MULTILINE) if body else None
    return found[1] if found else ""


def proto_of(method: MethodDescriptor) -> str:
    """The file that has the method's request."""
    return (ROOT / "protos" / method.input_type.file.name).read_text()


def test_every_rpc_declares_who_may_call_it() -> None:
    """H1."""
    assert len(METHODS) > 70, "not all protos were found"
    assert undeclared(METHODS.values()) == []


def test_the_table_says_of_every_rpc_what_it_needs_and_of_no_other() -> None:
    """H1: whoever adds an RPC says here who may call it."""
    assert set(NEEDS) == set(METHODS)
    assert set(NEEDS.values()) == set(WHO) | {NOTHING, OPERATORS, SERVICES}


def test_the_table_names_principals_that_there_are() -> None:
    told = [one for by_resource in WHO.values() for one in by_resource.values()] + list(GONE_FOR.values())
    assert {name for one in told for name in one.split()} <= set(INSIDERS)


@pytest.mark.parametrize("name", [name for name in METHODS if not declared_access(METHODS[name]).read_only])
def test_every_change_can_be_repeated(name: str) -> None:
    field = METHODS[name].input_type.fields_by_name.get("request_id")
    assert (field is None) == (name in WITHOUT_REQUEST_ID)
    assert field is None or field.type == FieldDescriptor.TYPE_STRING


@pytest.mark.parametrize("name", METHODS)
def test_the_field_that_access_is_checked_on_is_documented_as_a_resource_name(name: str) -> None:
    """H1: a field of another kind would be checked as if it named something."""
    access = declared_access(METHODS[name])
    for path in [access.resource_path, *(path for _, path in access.also)]:
        if path:
            (field,) = path
            assert "`workspaces/{workspace}" in comment_on_field(METHODS[name], field)


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].name.startswith("List")])
def test_every_list_has_pages_or_says_that_it_has_none(name: str) -> None:
    fields = METHODS[name].input_type.fields_by_name
    paged = {"page_size", "page_token"} <= set(fields) and "next_page_token" in METHODS[name].output_type.fields_by_name
    assert paged or name in WITHOUT_PAGES or "without pages" in comment_on_message(METHODS[name])


def test_every_permission_is_on_the_page() -> None:
    told = {*permissions.TARGETS, *permissions.OUTSIDE, access_pb2.PERMISSION_UNSPECIFIED}
    assert told == set(access_pb2.Permission.values())


def test_the_page_says_what_the_protos_and_the_rights_say() -> None:
    """Otherwise: `python tools/permissions.py`."""
    assert permissions.PAGE.read_text() == permissions.page()

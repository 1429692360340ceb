"""Errors keep their meaning on the way to a caller and back."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the package has no types

from kit import errors
from kit.rpc.status import STATUS_BYTES_MAX, from_status, to_status
from onward.common.v1 import errors_pb2

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.OnwardError)]


class SettingsMissing(errors.WrongState):
    """As a service would declare it."""

    reason = "SETTINGS_MISSING"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_has_a_grpc_code_and_a_reason_of_the_protos(cls: type[errors.OnwardError]) -> None:
    assert cls.code in grpc.StatusCode.__members__
    assert f"ERROR_REASON_{cls.reason}" in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_comes_back_as_the_class_that_was_raised(cls: type[errors.OnwardError]) -> None:
    sent = cls("what to do", metadata={"limit": "5"}, violations=[("settings.apiKey", "is empty")], retry_after_s=1.5)
    got = from_status(to_status(sent))
    assert type(got) is cls
    assert got is not None
    assert (got.message, got.reason, got.metadata) == (sent.message, sent.reason, sent.metadata)
    assert (got.violations, got.retry_after_s) == (sent.violations, 1.5)


def test_a_services_own_error_comes_back_as_its_nearest_class_with_its_reason() -> None:
    got = from_status(to_status(SettingsMissing("set apiKey")))
    assert type(got) is errors.WrongState
    assert got is not None
    assert got.reason == "SETTINGS_MISSING"


def test_the_status_holds_the_standard_details() -> None:
    status = to_status(errors.InvalidArgument("no", violations=[("name", "is empty")], retry_after_s=0.25))
    info, retry, bad = (error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest())
    assert [d.Unpack(m) for d, m in zip(status.details, (info, retry, bad), strict=True)] == [True] * 3
    assert (info.domain, info.reason) == ("onward", "INVALID_FIELD")
    assert retry.retry_delay.ToMilliseconds() == 250
    assert bad.field_violations[0].field == "name"


def test_an_error_of_any_size_fits_into_grpcs_trailing_metadata() -> None:
    huge = errors.InvalidArgument(
        "ä" * 100_000,
        metadata={f"key{i}": "v" * 50_000 for i in range(100)},
        violations=[("f" * 10_000, "d" * 10_000)] * 1_000,
    )
    assert to_status(huge).ByteSize() <= STATUS_BYTES_MAX


def test_a_foreign_status_is_not_taken_for_one_of_ours() -> None:
    assert from_status(status_pb2.Status(code=5, message="theirs")) is None

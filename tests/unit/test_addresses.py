"""The address classifier: what user code can never reach."""

import ipaddress

import pytest

from services.executor.runtime.addresses import METADATA, SPECIAL_PURPOSE, AddressPolicy, classify
from services.executor.runtime.egress import EgressError
from services.executor.runtime.egress_url import split_url
from services.executor.runtime.resolution import literal_address

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

DENIED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.254", "255.255.255.255",
    "::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "64:ff9b:1:ffff::8.8.8.8", "100::1", "100:0:0:1::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
    "2002:7f00:1::", "2002:808:808::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "8000::1", "fc00::1", "fd00::1",
    "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "1::1", "::2", "200::1",
]  # fmt: skip

ALLOWED = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8",
    "2001:200::1", "2001:4860:4860::8888", "2003::1", "2400:cb00::1", "2606:4700::1111", "2a00:1450::1", "3ffe::1",
]  # fmt: skip


@pytest.mark.parametrize("address", DENIED)
def test_what_is_not_global_unicast_is_denied(address: str) -> None:
    """F1"""
    assert not classify(address).allowed


@pytest.mark.parametrize("address", ALLOWED)
def test_global_unicast_is_allowed_up_to_the_edges_of_the_special_ranges(address: str) -> None:
    assert classify(address).allowed


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_denied_even_inside_an_allowed_range(address: str) -> None:
    assert not classify(address).allowed
    bits = 16 if "." in address else 48
    around = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    assert AddressPolicy().denial(address, 80, (around,)) is not None


def test_a_range_of_exactly_one_metadata_service_opens_it() -> None:
    exact = (ipaddress.ip_network("169.254.169.254/32"),)
    assert AddressPolicy().denial("169.254.169.254", 80, exact) is None


@pytest.mark.parametrize("network", SPECIAL_PURPOSE)
def test_both_ends_of_every_special_range_are_denied(network: str) -> None:
    ends = ipaddress.ip_network(network)
    assert not classify(ends[0]).allowed
    assert not classify(ends[-1]).allowed


def test_the_classifier_denies_whatever_the_standard_library_calls_not_global() -> None:
    """A second opinion: ours may be stricter than ipaddress, never laxer, in any /16 of IPv4."""
    for prefix in range(1 << 16):
        for low in (0, 1, 0xFFFF):
            address = ipaddress.IPv4Address(prefix << 16 | low)
            assert address.is_global or not classify(address).allowed, address


LITERALS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "0.1.2.3", "[::1]", "[::]",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "127.0.0.1.", "0x7f.1", "127.0.1", "%31%32%37.0.0.1",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
    "user@127.1", "example.com@127.0.0.1", "[fe80::1%25lo]",
]  # fmt: skip


@pytest.mark.parametrize("host", LITERALS)
def test_every_way_to_write_an_internal_address_ends_in_the_check(host: str) -> None:
    """F1"""
    try:
        origin, _ = split_url(f"http://{host}:8080/path")
    except EgressError as error:
        if error.type != "type-error":
            raise
        return  # refused before it could be resolved
    address = literal_address(origin.host)
    assert address is not None
    assert AddressPolicy().denial(address, origin.port, ()) is not None


@pytest.mark.parametrize("host", ["example.com", "localhost", "api.127.0.0.1.example", "1.2.3.4.5", "256.256.256.256"])
def test_names_are_no_literals(host: str) -> None:
    assert literal_address(host) is None


def test_allowed_ranges_open_addresses_but_never_the_unspecified_one() -> None:
    policy = AddressPolicy()
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert policy.denial("127.0.0.1", 8080, LOOPBACK) is None
    assert policy.denial("::1", 8080, LOOPBACK) is None
    assert policy.denial("::ffff:127.0.0.1", 8080, LOOPBACK) is None
    assert policy.denial("10.0.0.1", 8080, LOOPBACK) is not None
    assert policy.denial("0.0.0.0", 8080, everything) is not None
    assert policy.denial("::", 8080, everything) is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_own_endpoints_stay_closed_on_every_address_of_the_machine(address: str) -> None:
    """F7"""
    policy = AddressPolicy([("127.0.0.1", 5432)])
    assert policy.denial(address, 5432, LOOPBACK) == "an endpoint of Onward itself"
    assert policy.denial(address, 5433, LOOPBACK) is None


def test_own_endpoints_on_other_machines_stay_closed_too() -> None:
    """F7"""
    policy = AddressPolicy([("198.51.100.7", 4222), ("0.0.0.0", 7001)])
    ranges = (ipaddress.ip_network("198.51.100.0/24"), *LOOPBACK)
    assert policy.denial("198.51.100.7", 4222, ranges) is not None
    assert policy.denial("198.51.100.8", 4222, ranges) is None
    assert policy.denial("127.0.0.1", 7001, ranges) is not None

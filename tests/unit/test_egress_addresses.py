"""Properties of the address check and of URLs, against a second table and second opinions."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from services.executor.runtime.addresses import METADATA, AddressPolicy, classify
from services.executor.runtime.egress import EgressError
from services.executor.runtime.egress_url import check_redirect, redirect_url, split_url
from services.executor.runtime.resolution import literal_address

# First and last addresses, as the registries of IANA and the RFCs print them (iana-ipv4-special-registry,
# iana-ipv6-special-registry, multicast-addresses, ipv6-address-space), written down apart from the code.
SPECIAL_V4 = [
    ("0.0.0.0", "0.255.255.255"), ("10.0.0.0", "10.255.255.255"), ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"), ("169.254.0.0", "169.254.255.255"), ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"), ("192.0.2.0", "192.0.2.255"), ("192.31.196.0", "192.31.196.255"),
    ("192.52.193.0", "192.52.193.255"), ("192.88.99.0", "192.88.99.255"), ("192.168.0.0", "192.168.255.255"),
    ("192.175.48.0", "192.175.48.255"), ("198.18.0.0", "198.19.255.255"), ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"), ("224.0.0.0", "239.255.255.255"), ("240.0.0.0", "255.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
]  # fmt: skip
SPECIAL_V6 = [
    ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"), ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]  # fmt: skip
MAPPED_FIRST = int(ipaddress.IPv6Address("::ffff:0:0"))
MAPPED_LAST = int(ipaddress.IPv6Address("::ffff:ffff:ffff"))
V4_RANGES = [(int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last))) for first, last in SPECIAL_V4]
V6_RANGES = [(int(ipaddress.IPv6Address(first)), int(ipaddress.IPv6Address(last))) for first, last in SPECIAL_V6]


def around(ranges: list[tuple[int, int]], bits: int) -> st.SearchStrategy[int]:
    """Any address, those inside the ranges and those at their edges more often."""
    edges = sorted({edge + step for pair in ranges for edge in pair for step in (-1, 0, 1)})
    inside = st.one_of([st.integers(first, last) for first, last in ranges])
    known = st.sampled_from([edge for edge in edges if 0 <= edge < 1 << bits])
    return st.one_of(st.integers(0, (1 << bits) - 1), inside, known)


v4 = around(V4_RANGES, 32)
v6 = around(V6_RANGES, 128)


def special_v4(number: int) -> bool:
    return any(first <= number <= last for first, last in V4_RANGES)


@given(v4)
def test_ipv4_is_judged_as_the_registries_say(number: int) -> None:
    """F1"""
    assert classify(ipaddress.IPv4Address(number)).allowed is not special_v4(number)


@given(v6)
def test_ipv6_is_judged_as_the_registries_say(number: int) -> None:
    """F1: a mapped address is the IPv4 address in it."""
    if MAPPED_FIRST <= number <= MAPPED_LAST:
        special = special_v4(number & 0xFFFFFFFF)
    else:
        special = any(first <= number <= last for first, last in V6_RANGES)
    assert classify(ipaddress.IPv6Address(number)).allowed is not special


@given(v4)
def test_an_ipv4_address_gets_through_in_no_wrapping(number: int) -> None:
    """F1: compatible, translated, NAT64 of both kinds, 6to4, Teredo (where it is inverted), ISATAP on a link."""
    low = ipaddress.IPv4Address(number)
    high, middle = number >> 16, number & 0xFFFF
    inverted = number ^ 0xFFFFFFFF
    wrapped = [
        f"::{low}", f"::ffff:0:{low}", f"64:ff9b::{low}", f"64:ff9b:1::{low}", f"2002:{high:x}:{middle:x}::1",
        f"2001:0:{high:x}:{middle:x}::", f"2001::{inverted >> 16:x}:{inverted & 0xFFFF:x}", f"fe80::5efe:{low}",
    ]  # fmt: skip
    for address in wrapped:
        assert not classify(address).allowed, address
    assert classify(f"::ffff:{low}").allowed is classify(low).allowed


@given(st.sampled_from(sorted(METADATA)), st.integers(0, 120), st.booleans())
def test_only_a_range_of_its_own_opens_a_metadata_service(address: str, bits: int, everything: bool) -> None:
    """F1"""
    width = 32 if "." in address else 128
    around_it = ipaddress.ip_network(f"{address}/{min(bits, width - 1)}", strict=False)
    wide = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")) if everything else ()
    assert AddressPolicy().denial(address, 80, (around_it, *wide)) is not None


# -- URLs

number_forms = [
    lambda n: str(n), lambda n: hex(n), lambda n: f"0{n:o}", lambda n: f"{n >> 24}.{n & 0xFFFFFF}",
    lambda n: f"{n >> 24:#x}.{n >> 16 & 255}.{n & 0xFFFF}",
    lambda n: ".".join(f"0{n >> s & 255:o}" for s in (24, 16, 8, 0)),
    lambda n: ".".join(f"{n >> s & 255:#x}" for s in (24, 16, 8, 0)), lambda n: f"{ipaddress.IPv4Address(n)}.",
    lambda n: f"[::ffff:{ipaddress.IPv4Address(n)}]", lambda n: f"[::ffff:{n >> 16:x}:{n & 0xFFFF:x}]",
    lambda n: str(ipaddress.IPv4Address(n)).translate(str.maketrans("0123456789.", "０１２３４５６７８９。")),
    lambda n: "".join(f"%{ord(c):02x}" for c in str(ipaddress.IPv4Address(n))),
]  # fmt: skip


@given(v4, st.sampled_from(number_forms), st.sampled_from(["", "u@", "u:p@", "example.com@"]))
def test_every_form_of_a_number_is_judged_as_the_address_it_is(number: int, form, user: str) -> None:  # type: ignore[no-untyped-def]  # of many lambdas
    """F1"""
    try:
        origin, _ = split_url(f"http://{user}{form(number)}:8080/x")
    except EgressError as error:
        assert error.type == "type-error"  # noqa: PT017 - refused before it could be resolved
        return
    address = literal_address(origin.host)
    assert address is not None, "it would be asked of a name server, which is another way to reach it"
    denied = AddressPolicy().denial(address, 8080, ()) is not None
    assert denied is special_v4(number)


texts = st.text(max_size=30) | st.text("ab.:/@?#[]\\%0127fx \t\r\n\0é①。", max_size=30)
urls = st.builds("{}{}{}{}".format, st.sampled_from(["http://", "https://", "HTTP://", "http:", "//", ""]), texts,
                 st.sampled_from(["", "/", "?", "#", "\\", ":80/", ":99999/"]), texts)  # fmt: skip


@given(urls)
def test_any_text_is_an_origin_that_cannot_break_its_line_or_a_type_error(url: str) -> None:
    """F9"""
    try:
        origin, target = split_url(url)
    except EgressError as error:
        assert error.type == "type-error"  # noqa: PT017 - the only way to fail
        return
    for text in (origin.host_header, target, origin.authorization or ""):
        assert text.isascii()
        assert text.isprintable()
    assert " " not in origin.host_header + target
    assert not set(origin.host) & set("/@?#\\ ")
    assert target.startswith("/")


@given(st.sampled_from(["http://a.test/x/y?z", "https://u:p@a.test:444/", "http://1.2.3.4"]), texts)
def test_any_location_is_a_url_or_none_and_never_goes_down_to_http(base: str, location: str) -> None:
    """F6"""
    url = redirect_url(base, location)
    if url is None:
        return
    source, _ = split_url(base)
    try:
        origin = check_redirect(source, url)
    except EgressError as error:
        assert error.type in ("system", "type-error")  # noqa: PT017 - denied, or no URL
        return
    assert origin.scheme == "https" or source.scheme == "http"
    assert split_url(url)[0] == origin
    assert redirect_url(base, url) == url, "a URL stays as it is"

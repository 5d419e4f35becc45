"""Fetching, and what must not be fetched, against a real server on loopback."""

import ipaddress

import pytest

from indexing.errors import UnreadableError
from indexing.read.formats.load import load_bytes
from indexing.read.web import Address, Fetcher, is_public

pytestmark = pytest.mark.anyio


def open_fetcher(**changes: float) -> Fetcher:
    """One that may fetch from loopback, and from nowhere else."""
    return Fetcher(
        max_bytes=int(changes.get("max_bytes", 10_000)),
        timeout_s=changes.get("timeout_s", 10),
        allowed=lambda address: address.is_loopback,
    )


async def test_a_page_and_its_name(site: str) -> None:
    page = await open_fetcher().fetch(site)
    assert page.content.startswith(b"<h1>Bees")
    assert page.name == "127.0.0.1.html"
    assert (await open_fetcher().fetch(f"{site}/there")).name == "guide.md"


async def test_a_page_in_the_encoding_that_its_server_names(site: str) -> None:
    for path in ("/zurich", "/greek"):
        page = await open_fetcher().fetch(f"{site}{path}")
        (document,) = load_bytes(page.content, page.name)
        assert document.text == {"/zurich": "“Zürich”", "/greek": "Καλημέρα"}[path]
    wrong = await open_fetcher().fetch(f"{site}/wrong")
    assert wrong.content == "“Zürich”".encode("cp1252")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "answers 404"),
        ("/loop", "more than 5 redirects"),
        ("/metadata", r"169\.254\.169\.254, which is not a public address"),
        ("/file", "give an http or https URL"),
        ("/nowhere", "not a URL: Invalid IPv6 URL"),
        ("/large", "1,000 bytes"),
    ],
)
async def test_what_is_refused_on_the_way(site: str, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        await open_fetcher(max_bytes=1000).fetch(site + path)


async def test_a_slow_server_is_given_up(site: str) -> None:
    with pytest.raises(UnreadableError, match="no page within"):
        await open_fetcher(timeout_s=0.3).fetch(f"{site}/slow")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]",
        "[::127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1", "[fd00::1]",
        "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "168.63.129.16", "192.0.0.192",
        "[fec0::1]",
    ],
)  # fmt: skip
async def test_private_addresses_are_refused_in_every_spelling(site: str, host: str) -> None:
    """By the guard, and before anything is connected to."""
    asked: list[tuple[Address, bool]] = []

    def allowed(address: Address) -> bool:
        asked.append((address, is_public(address)))
        return asked[-1][1]

    with pytest.raises(UnreadableError, match="which is not a public address"):
        await Fetcher(max_bytes=1000, timeout_s=5, allowed=allowed).fetch(f"http://{host}:{site.rpartition(':')[2]}/")
    assert asked
    assert not any(public for _, public in asked)
    with pytest.raises(UnreadableError, match="which is not a public address"):  # by default, too
        await Fetcher(max_bytes=1000, timeout_s=5).fetch(f"http://{host}:{site.rpartition(':')[2]}/")


@pytest.mark.parametrize("host", ["127.0.0.1.", "exa mple"])
async def test_names_that_some_systems_take_for_addresses(site: str, host: str) -> None:
    with pytest.raises(UnreadableError, match=r"which is not a public address|is not known"):
        await Fetcher(max_bytes=1000, timeout_s=5).fetch(f"http://{host}:{site.rpartition(':')[2]}/")


@pytest.mark.parametrize("url", ["http://a@127.0.0.1/", "ftp://example.org/", "http:///nohost"])
async def test_what_is_not_asked_for(url: str) -> None:
    with pytest.raises(UnreadableError, match="give an http or https URL"):
        await open_fetcher().fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{'a' * 64}.example/", "http://a..b/", "http://.a/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
        "http://127.0.0.1:99999999999999999999/", "http://example.org/\udce9",
    ],
)  # fmt: skip
async def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UnreadableError, match=r"not a URL|is not known"):
        await open_fetcher().fetch(url)


def test_public_addresses_are_public() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"):
        assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "168.63.129.16", "192.0.0.192", "192.0.0.8", "192.88.99.1", "198.18.0.1", "203.0.113.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "::ffff:0:8.8.8.8",
        "::ffff:168.63.129.16", "64:ff9b::a00:1", "64:ff9b::a83f:8110", "64:ff9b:1::808:808", "100::1", "fec0::1",
        "feff::1", "fe80::1", "fd00:ec2::254", "2001:0:808:808::1", "2001:0:a00:1::f5ff:fffe", "2002:a00:1::1",
        "2002:808:808::1", "2001:db8::1", "3fff::1", "5f00::1", "2606:2800:220:1:0:5efe:a00:1",
        "2606:2800:220:1:200:5efe:a00:1", "2606:2800:220:1:0:5efe:808:808", "fe80::5efe:a00:1", "ff02::1", "4000::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_or_lead_elsewhere(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))

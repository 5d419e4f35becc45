"""Fetching, and what must not be fetched, against a real server on loopback."""

import ipaddress

import pytest

from indexing.errors import UnreadableError
from indexing.read.formats.load import load_bytes
from indexing.read.web import Fetcher, is_public

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
    "url",
    [
        "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/", "http://127.1:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::127.0.0.1]:{port}/", "http://0.0.0.0:{port}/", "http://127.0.0.1.:{port}/", "http://a@127.0.0.1:{port}/",
        "http://169.254.169.254/", "http://10.0.0.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://[fd00::1]/",
        "http://[fe80::1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://224.0.0.1/", "ftp://example.org/",
        "http:///nohost", "http://exa mple/",
    ],
)  # fmt: skip
async def test_private_addresses_in_every_spelling(site: str, url: str) -> None:
    with pytest.raises(UnreadableError):
        await Fetcher(max_bytes=1000, timeout_s=5).fetch(url.format(port=site.rpartition(":")[2]))


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
    assert is_public(ipaddress.ip_address("93.184.216.34"))
    assert is_public(ipaddress.ip_address("2606:2800:220:1:248:1893:25c8:1946"))

"""Fetches pages by URL, from public addresses only.

Each connection resolves the name once, checks all addresses, and connects to one of them. So neither a redirect, nor
DNS rebinding, nor an unusual spelling of an address leads to a private network or a metadata service.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urljoin

import httpcore2
import httpx2

from indexing.errors import UnreadableError
from indexing.read.formats import charset

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_REDIRECTS = 5
_REDIRECT_CODES = frozenset((301, 302, 303, 307, 308))
_OK = 200
_MAX_PORT = 65535
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""Bits 64 to 95 of an address whose last 32 bits are an IPv4 address (RFC 5214)."""
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # IETF protocols; 192.0.0.192 is Oracle's metadata service
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # Azure's platform service, in every virtual network
            "2001::/23",  # IETF protocols, Teredo
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
"""Beside those that Python's release at hand knows."""
_HEADERS = {"User-Agent": "ragline", "Accept": "text/html,*/*;q=0.5", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Page:
    url: str
    """After redirects."""
    name: str
    """Last part of the path, with the extension of its content type where it has none."""
    content: bytes
    """As served; text with a declared encoding other than UTF-8 is converted to UTF-8 with a byte order mark."""


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet, and to nothing that leads elsewhere.

    IPv6 addresses are refused outside of 2000::/3, and where a tunnel would take them to an IPv4 address; of those
    that embed one without a tunnel, that one decides.
    """
    if isinstance(address, ipaddress.IPv6Address):
        last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.ipv4_mapped or address in _NAT64:
            return is_public(last)
        if address not in _GLOBAL_V6 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class Fetcher:
    def __init__(
        self, *, max_bytes: int, timeout_s: float = 30.0, allowed: Callable[[Address], bool] = is_public
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._backend = _GuardedBackend(allowed)

    async def fetch(self, url: str) -> Page:
        """Raises UnreadableError: not allowed, not found, too large, too slow, too many redirects."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow_redirects(url)
        except TimeoutError as exc:
            raise UnreadableError(f"given up: no page within {self._timeout_s:g} s") from exc
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as exc:
            raise UnreadableError(f"cannot be fetched: {exc or type(exc).__name__}") from exc
        except (httpx2.InvalidURL, ValueError) as exc:  # given, or where a server redirects to
            raise UnreadableError(f"not a URL: {exc}") from exc

    async def _follow_redirects(self, url: str) -> Page:
        for _ in range(_REDIRECTS + 1):
            page = await self._request(url)
            if isinstance(page, Page):
                return page
            url = page
        raise UnreadableError(f"cannot be fetched: more than {_REDIRECTS} redirects")

    async def _request(self, url: str) -> Page | str:
        """The page, or the URL that it redirects to."""
        parsed = _parse_url(url)
        target = httpcore2.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
        headers = {**_HEADERS, "Host": parsed.netloc.decode("ascii")}
        async with (
            httpcore2.AsyncConnectionPool(network_backend=self._backend) as pool,
            pool.stream("GET", target, headers=list(headers.items())) as response,
        ):
            found = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in _REDIRECT_CODES and b"location" in found:
                return urljoin(url, found[b"location"])
            if response.status != _OK:
                raise UnreadableError(f"cannot be fetched: the server answers {response.status}")
            content = await self._body(response)
        content_type = found.get(b"content-type", "")
        return Page(url, _name(parsed, content_type), _to_utf8(content, content_type))

    async def _body(self, response: httpcore2.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_stream():
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise UnreadableError(f"too large: more than the limit of {self._max_bytes:,} bytes")
        return b"".join(parts)


def is_url(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _parse_url(url: str) -> httpx2.URL:
    """The URL that is checked is the one that is requested. Raises InvalidURL, and UnicodeError for lone surrogates."""
    parsed = httpx2.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise UnreadableError("not fetched: give an http or https URL without a user name")
    if not 0 < (parsed.port or 80) <= _MAX_PORT:
        raise UnreadableError(f"not a URL: there is no port {parsed.port}")
    return parsed


def _name(url: httpx2.URL, content_type: str) -> str:
    name = url.path.rstrip("/").rpartition("/")[2] or url.host
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("text/html", "application/xhtml+xml") and not name.lower().endswith((".html", ".htm")):
        return f"{name}.html"
    return name


def _to_utf8(content: bytes, content_type: str) -> bytes:
    """Unchanged where the server names no encoding, or one that the bytes contradict."""
    header = Message()
    header["Content-Type"] = content_type
    label = header.get_param("charset")
    if not isinstance(label, str) or header.get_content_maintype() != "text" or header.get_content_subtype() == "xml":
        return content
    text = charset.labelled(content, label)
    return content if text is None or charset.codec(label) == "utf-8" else text.encode("utf-8-sig", "replace")


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses only."""

    def __init__(self, allowed: Callable[[Address], bool]) -> None:
        self._allowed = allowed
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the interface of httpcore2)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await _resolve(host, port)
        for address in addresses:
            if not self._allowed(address):
                raise UnreadableError(f"not fetched: {host} is {address}, which is not a public address")
        return await self._inner.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options)


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:  # UnicodeError: a label is empty or longer than 63 characters
        raise UnreadableError(f"cannot be fetched: the name {host} is not known") from exc
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]

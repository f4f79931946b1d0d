"""Which addresses a URL that a server has named may lead to.

Whoever names a URL has this machine connect to it. So two kinds of addresses are refused: those of the machine itself,
and those of the metadata services of clouds, which give credentials to whoever asks. Addresses of private networks are
allowed, because many object stores have one.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# Metadata and host services of AWS (IPv6), Azure, Alibaba Cloud and Oracle Cloud; most others are link-local.
SERVICES = frozenset(map(ip_address, ("fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")))

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


class AddressRefused(OSError):
    """The address is one that no server may send a client to."""


def check_address(address: IPv4Address | IPv6Address, *, loopback: bool) -> None:
    """Raise AddressRefused; `loopback`: this machine is allowed, and nothing else is without TLS."""
    mapped = _embedded(address)
    if mapped in SERVICES:
        raise AddressRefused(f"{address} is a service of the cloud's host")
    if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified or mapped.is_reserved:
        raise AddressRefused(f"{address} is not the address of a server")
    if mapped.is_loopback and not loopback:
        raise AddressRefused(f"{address} is this machine, and the daemon is elsewhere")


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the address that packets to this one arrive at: an IPv6 address may have an IPv4 address in it."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def resolve(host: str, port: int, *, loopback: bool, only_loopback: bool = False) -> list[str]:
    """Return the addresses of the host that a connection may be made to. Raises AddressRefused, and OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        check_address(address, loopback=loopback)
        if only_loopback and not address.is_loopback:
            raise AddressRefused(f"{address} is another machine, and the connection has no TLS")
    return list(dict.fromkeys(addresses))

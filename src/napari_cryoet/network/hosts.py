"""What an address says about its host: this computer, or a link-local one."""

from __future__ import annotations

import ipaddress


def is_this_computer(host: str) -> bool:
    """Whether a host name refers to this computer.

    Examples
    --------
    >>> is_this_computer("LocalHost"), is_this_computer("127.0.0.2"), is_this_computer("localhost.org")
    (True, True, False)
    """
    address = _ip_address(host)
    return (
        host.lower() == "localhost"
        if address is None
        else address.is_loopback or address.is_unspecified
    )


def is_link_local(host: str) -> bool:
    """Whether a host is a link-local address, which in clouds gives access to secrets.

    Examples
    --------
    >>> is_link_local("169.254.169.254"), is_link_local("fe80::1%eth0"), is_link_local("192.168.0.1")
    (True, True, False)
    """
    address = _ip_address(host)
    return address is not None and address.is_link_local


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

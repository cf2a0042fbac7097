"""Which names and addresses lead back to this computer; nothing is looked up."""

from __future__ import annotations

import ipaddress


def is_this_computer(host: str) -> bool:
    """Whether a server of this name is on this computer, whatever the network is.

    Servers that listen everywhere call themselves ``0.0.0.0`` or ``[::]``, as Python's own does; whoever asks for that
    reaches this computer, too. Names that end in ``.localhost`` mean it by RFC 6761. Its own name and its addresses in
    networks don't count: others know it by these.

    Parameters
    ----------
    host
        As it stands in an address, without a port; IPv6 with brackets or without.

    Examples
    --------
    >>> is_this_computer("LocalHost."), is_this_computer("127.0.0.2"), is_this_computer("[::ffff:127.0.0.1]")
    (True, True, True)
    >>> is_this_computer("localhost.org"), is_this_computer("128.0.0.1"), is_this_computer("")
    (False, False, False)
    """
    name = host.removeprefix("[").removesuffix("]").removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address  # which some Pythons look into by themselves
    return address.is_loopback or address.is_unspecified

"""Networks that a Ray cluster may be on: private ones that were named, never a public one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.networks import is_public, is_within, parse_networks
from pipeline.settings import load_settings


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("192.168.7.1", True),
        ("192.168.7.255", True),
        ("::ffff:192.168.7.9", True),
        ("10.0.0.4", True),
        ("fd00:1::9", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("192.168.8.1", False),
        ("10.0.0.5", False),
        ("fd00:2::9", False),
        ("fe80::1%eth0", False),
        ("8.8.8.8", False),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_only_loopback_and_what_was_named_is_within(address: str, within: bool) -> None:
    assert is_within(address, parse_networks(["192.168.7.0/24", "10.0.0.4", "fd00:1::/32"])) is within


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "192.0.2.2", "100.64.0.1", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"]
)
def test_an_address_that_is_nobodys_own_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.31.9.9", "192.168.0.1", "fd12::1", "fe80::1", "169.254.3.4", "127.0.0.1"]
)
def test_private_addresses_and_those_of_a_link_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("given", ["192.168.7.0/24, fd00:1::/32", "192.168.7.0/24,fd00:1::/32,"])
def test_networks_are_set_with_commas_between(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ("192.168.7.0/24", "fd00:1::/32")
    toml = tmp_path / "pipeline.toml"
    assert load_settings(toml, {"ray_networks": given}).ray_networks == expected
    monkeypatch.setenv("PIPELINE_RAY_NETWORKS", given)
    assert load_settings(toml).ray_networks == expected
    monkeypatch.delenv("PIPELINE_RAY_NETWORKS")
    toml.write_text('ray_networks = ["192.168.7.0/24", "fd00:1::/32"]\n')
    assert load_settings(toml).ray_networks == expected
    assert load_settings(tmp_path / "none").ray_networks == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("8.8.8.0/24", "not a private network"),
        ("0.0.0.0/0", "not a private network"),
        ("::/0", "not a private network"),
        ("172.0.0.0/8", "not a private network"),
        ("192.0.0.0/2", "not a private network"),
        ("127.0.0.0/8", "not a private network"),
        ("192.168.7.1/24", "is no network"),
        ("the office", "is no network"),
    ],
)
def test_what_is_public_or_no_network_is_refused_with_64(given: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"bad setting ray_networks.*{why}"):
        load_settings(tmp_path / "pipeline.toml", {"ray_networks": given})

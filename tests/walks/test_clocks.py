"""Servers whose clocks differ, or are set while they run (fault 19), three over one database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from walks.conftest import Serve
from walks.site import ShiftedClock, Site, wait_until
from walks.visitor import Visitor


def three(serve: Serve, database: Path, *minutes: float) -> list[Site]:
    """Sites with one public URL whose clocks are off by so many minutes."""
    sites: list[Site] = []
    for off in minutes:
        public_url = sites[0].public_url if sites else None
        clock = ShiftedClock(ahead=timedelta(minutes=off))
        sites.append(serve(database=database, public_url=public_url, clock=clock))
    return sites


def answers(sites: list[Site], like: Visitor, http: httpx.Client) -> list[bool]:
    """Whether each of the sites knows this browser."""
    return [Visitor(site, http, like.jar).whoami() is not None for site in sites]


def test_fault_19_clocks_four_minutes_off(serve: Serve, http: httpx.Client, tmp_path: Path, pat: Any) -> None:
    """Sign-ins at each, sessions at all, and what ends at one is over at all, as if the clocks were right."""
    sites = three(serve, tmp_path / "shared.db", 0, 4, -4)
    for site in sites:
        visitor = Visitor(site, http)
        visitor.sign_in_as(pat)
        assert answers(sites, visitor, http) == [True] * 3
        cookie = visitor.session_cookie
        assert cookie is not None
        visitor.sign_out()
        visitor.present(cookie.value)
        wait_until(lambda like=visitor: not any(answers(sites, like, http)), seconds=3)


def test_fault_19_a_clock_that_is_set_back_while_it_runs(
    serve: Serve, http: httpx.Client, tmp_path: Path, pat: Any, kim: Any
) -> None:
    """By an hour: who is in stays in, who is out stays out, no limit grows; set right, sign-ins go on."""
    sites = three(serve, tmp_path / "shared.db", 0, 0, 0)
    stays, leaver = Visitor(sites[0], http), Visitor(sites[1], http)
    stays.sign_in_as(pat)
    leaver.sign_in_as(kim)
    cookie = leaver.session_cookie
    assert cookie is not None
    leaver.sign_out()
    leaver.present(cookie.value)
    sites[1].clock.pass_by(hours=-1)
    assert answers(sites, stays, http) == [True] * 3
    wait_until(lambda: answers(sites, leaver, http) == [False] * 3, seconds=3)
    refused = Visitor(sites[1], http)
    answer = refused.sign_in_as(kim)
    assert answer.status_code != 303
    assert "clock" in answer.text
    sites[1].clock.pass_by(hours=1)
    assert Visitor(sites[1], http).sign_in_as(kim).status_code == 303
    for site in sites:
        site.clock.pass_by(hours=9)
    assert answers(sites, stays, http) == [False] * 3

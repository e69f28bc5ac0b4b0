"""One Entra for all, and each product once: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from entrada.emulator import RunningEmulator, start
from integrations.applications.products import Place, behind_the_sign_in


@pytest.fixture(scope="session")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def started_places(
    entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Place]]:
    with ExitStack() as stack:
        running: dict[str, Place] = {}

        def place_of(product: str) -> Place:
            if product not in running:
                folder = tmp_path_factory.mktemp(product)
                running[product] = stack.enter_context(behind_the_sign_in(entra, folder, product))
            return running[product]

        yield place_of


@pytest.fixture
def place_of(entra: RunningEmulator, started_places: Callable[[str], Place]) -> Callable[[str], Place]:
    """`place_of("gradio")`: its application behind the sign-in; Entra as at the start."""
    entra.reset()
    return started_places


@pytest.fixture
def place(product: str, place_of: Callable[[str], Place]) -> Place:
    """That of the product which the test is about."""
    return place_of(product)

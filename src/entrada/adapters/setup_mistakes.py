"""What an adapter says to whoever set it up wrongly: each in a sentence that has the next step.

No framework that is not installed, no middleware that was forgotten, and no guard above its route:
`@login_required` above `@app.get(...)` guards a function that nobody calls. Flask and Quart cannot see that
last one; the adapters remember what they guarded, and refuse to serve it bare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakSet

NOT_INSTALLED = (
    "Entrada does not stand in front of this application, or only further inside: call install(app, entrada)"
    " in FastAPI, EntradaFlask(entrada).init_app(app) in Flask (EntradaQuart in Quart),"
    " or wrap the application in this adapter's EntradaMiddleware"
)

_guarded: WeakSet[Any] = WeakSet()


def needs(extra: str, missing: ModuleNotFoundError) -> ModuleNotFoundError:
    """What an adapter raises in the place of `missing`."""
    return ModuleNotFoundError(
        f"entrada.adapters.{extra} needs {missing.name}, which is not installed."
        f' Install it with: pip install "./entrada[{extra}]"',
        name=missing.name,
    )


def remember(view: Callable[..., Any]) -> None:
    """This view, and what it wraps, is behind a guard now."""
    for bare in _unwrapped(view):
        with suppress(TypeError):  # it takes no weak reference: then it is not looked for
            _guarded.add(bare)


def refuse_bare(view: Callable[..., Any] | None, registered: Iterable[Callable[..., Any]]) -> None:
    """What the route leads to is not past its guard. `registered` are the application's views.

    A function that one route serves behind a guard, another may serve without: that is meant.

    Raises:
        RuntimeError: it is past its guard, and no route leads to the guard.
    """
    if view is None or view not in _guarded or any(_leads_to(other, view) for other in registered):
        return
    name = getattr(view, "__name__", "this view")
    raise RuntimeError(
        f"The guard of {name} stands above its route, so the route leads past it:"
        " put the guard right above the function, and @app.get(...) above the guard."
    )


def _leads_to(guard: Callable[..., Any], view: Callable[..., Any]) -> bool:
    return guard is not view and any(each is view for each in _unwrapped(guard))


def _unwrapped(view: Any) -> Iterator[Any]:
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)

"""What an adapter says to whoever set it up wrongly: each in a sentence that has the next step.

No framework that is not installed, no middleware that was forgotten, and no guard above its route:
`@login_required` above `@app.get(...)` guards a function that nobody calls. Flask and Quart cannot see that
last one; the adapters remember what they guarded, and refuse to serve it bare.
"""

from __future__ import annotations

from collections.abc import Callable
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
    bare: Any = view
    while bare is not None:
        with suppress(TypeError):  # it takes no weak reference: then it is not looked for
            _guarded.add(bare)
        bare = getattr(bare, "__wrapped__", None)


def refuse_bare(view: Callable[..., Any] | None) -> None:
    """What the route leads to is not past its guard.

    Raises:
        RuntimeError: it is.
    """
    if view is not None and view in _guarded:
        name = getattr(view, "__name__", "this view")
        raise RuntimeError(
            f"The guard of {name} stands above its route, so the route leads past it:"
            " put the guard right above the function, and @app.get(...) above the guard."
        )

"""Settings: declared once, found, parsed once to their final types, and named as the person named them.

    declared    every setting: name, type, default, help, aliases; what contradicts what
    sources     where values come from: the environment, files, `entrada.toml`; who beats whom
    values      how a text becomes a value, one reader per kind

Nothing else of Entrada reads the environment.
"""

from entrada.settings.declared import (
    DEFAULT_CALLBACK_PATH,
    LOOPBACK_HOSTS,
    MAGE_CALLBACK_PATH,
    Settings,
    load_settings,
)
from entrada.settings.sources import (
    FoundValues,
    aliases_of,
    default_file,
    is_secret,
    native_name,
    unit_of,
)

__all__ = [
    "DEFAULT_CALLBACK_PATH",
    "LOOPBACK_HOSTS",
    "MAGE_CALLBACK_PATH",
    "FoundValues",
    "Settings",
    "aliases_of",
    "default_file",
    "is_secret",
    "load_settings",
    "native_name",
    "unit_of",
]

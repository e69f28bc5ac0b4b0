"""Settings: declared once, found, parsed once to their final types, and named as the person named them.

    declared    every setting: name, type, default, help, aliases
    sources     where values come from: the environment, files, `entrada.toml`; who beats whom
    explicit    what a program gives by name instead
    values      how a text becomes a value, one reader per kind
    pasted      what copying leaves on a value, refused
    checked     loaded, each checked by itself and together
    words       what the person calls a setting, in every sentence about one

Nothing else of Entrada reads a setting from the environment.
"""

from entrada.errors import native_name
from entrada.settings.checked import check_values, load_settings, with_loopback_url
from entrada.settings.declared import (
    DEFAULT_CALLBACK_PATH,
    LOOPBACK_HOSTS,
    MAGE_CALLBACK_PATH,
    Settings,
)
from entrada.settings.explicit import SettingValues, given_values
from entrada.settings.sources import (
    FoundValues,
    aliases_of,
    default_file,
    is_secret,
    unit_of,
)
from entrada.settings.words import Names

__all__ = [
    "DEFAULT_CALLBACK_PATH",
    "LOOPBACK_HOSTS",
    "MAGE_CALLBACK_PATH",
    "FoundValues",
    "Names",
    "SettingValues",
    "Settings",
    "aliases_of",
    "check_values",
    "default_file",
    "given_values",
    "is_secret",
    "load_settings",
    "native_name",
    "unit_of",
    "with_loopback_url",
]

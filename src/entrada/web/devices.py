"""What a browser says of itself, in words: "Firefox on Windows".

Only for people, who tell their sessions apart by it: everybody can send any User-Agent.
Where no known name is in it, its own text stands there, cut; whoever shows it escapes it.

Source: MDN, "Browser detection using the user agent"; the order matters, because browsers name others too.
"""

from __future__ import annotations

from entrada.sessions.session import Device
from entrada.web.messages import WebRequest

LONGEST_USER_AGENT = 300
_LONGEST_UNKNOWN = 60

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python-", "Python"),
    ("Python/", "Python"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)


def device_of(request: WebRequest) -> Device:
    """Who sent this request, as far as they say."""
    agent = request.headers.get("user-agent", "")
    printable = "".join(letter for letter in agent if letter.isprintable())
    return Device(user_agent=printable[:LONGEST_USER_AGENT], address=request.peer)


def device_in_words(device: Device) -> str:
    """Browser and system, as far as they are known."""
    agent = device.user_agent
    browser = next((name for mark, name in _BROWSERS if mark in agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in agent), None)
    if browser is None:
        cut = agent if len(agent) <= _LONGEST_UNKNOWN else agent[: _LONGEST_UNKNOWN - 1] + "…"
        return cut or "Unknown device"
    return browser if system is None else f"{browser} on {system}"

"""`entrada serve --explain "GET https://host/path"`: which rule decides, and for whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from entrada.errors import AmbiguousRequest, ConfigurationError
from entrada.gateway.rules import OTHERWISE, Rule, RuleBook

_HINT = 'Write the method and the whole address: --explain "GET https://tool.contoso.com/admin".'


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """`for_whom` is "nobody" also for a request that is refused before any rule; `because` says why."""

    request: str
    for_whom: str
    because: str
    upstream: str | None = None
    rule: Rule | None = None
    """None: no rule is asked."""

    def __str__(self) -> str:
        lines = [self.request, f"  for      {self.for_whom}", f"  because  {self.because}"]
        return "\n".join([*lines, *([f"  upstream {self.upstream}"] if self.upstream else [])])


def explain(text: str, book: RuleBook) -> Explanation:
    """What happens to one request; its host is taken for that of a public URL.

    Raises:
        ConfigurationError: `text` is not a method and an address.
    """
    method, _, url = text.strip().partition(" ")
    url = url.strip()
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = ""
    scheme = f"{url.partition('://')[0]}://"
    if not host or scheme not in ("http://", "https://") or not method.isalpha():
        raise ConfigurationError(f"{text!r} is not a method and an address.", hint=_HINT)
    # The rest as it would be sent, to the letter: a parser of addresses would already have chosen a reading.
    target = url[len(scheme) + len(host) :] or "/"
    try:
        book = replace(book, own_hosts=frozenset({host.lower()}))
        request = book.read(method, host, target.encode("utf-8"))
        rule, route = book.rule_for(request), book.route_for(request)
    except AmbiguousRequest as error:
        return Explanation(request=f"{method} {url}", for_whom="nobody", because=error.sentence)
    if rule is OTHERWISE:
        because = "no rule fits, and then people must be signed in"
    else:
        because = f"the rule for {rule}" + ("" if rule.line is None else f" on line {rule.line}")
    return Explanation(
        request=f"{method} {url}",
        for_whom=rule.for_whom,
        because=because,
        upstream=None if route is None else route.upstream,
        rule=rule,
    )

"""What is public, and which application answers: rules and routes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from entrada.cli.import_oauth2_proxy.draft import Draft, Entry
from entrada.cli.import_oauth2_proxy.options import Said, Upstream
from entrada.cli.import_oauth2_proxy.regexes import split_route, translate_regex, without_covered
from entrada.cli.import_oauth2_proxy.remarks import Remark, Verdict
from entrada.cli.import_oauth2_proxy.typed import refuse
from entrada.gateway.tables import parse_upstream

_IDENTITY_FIELD = re.compile(
    r"(x-forwarded|x-auth-request|remote)-(user|email|groups|preferred-username|name)"
)


def public_paths(draft: Draft) -> None:
    found: list[tuple[str, str | None]] = []
    preflight = draft.take("skip_auth_preflight")
    if preflight is not None and preflight.is_on:
        found.append(("/**", "OPTIONS"))
        draft.remark(Verdict.SAME, preflight, "A rule: OPTIONS is public everywhere, without any identity.")
    elif preflight is not None:
        draft.remark(Verdict.NEEDLESS, preflight, "That is how Entrada does it.")
    for option in ("skip_auth_routes", "skip_auth_regex"):
        said = draft.take(option)
        for item in () if said is None else said.items:
            assert said is not None
            try:
                method, regex = (None, item) if option == "skip_auth_regex" else split_route(item)
                translated = translate_regex(regex)
            except ValueError as error:
                draft.remark(
                    Verdict.DANGEROUS,
                    said,
                    f"{item!r} was left out, so a sign-in is needed there: {error}. "
                    "Write rules for the paths that you mean.",
                )
                continue
            found += [(pattern, method) for pattern in translated.patterns]
            patterns = ", ".join(translated.patterns)
            narrower = f"; {translated.narrower}" if translated.narrower else ""
            draft.remark(
                Verdict.DIFFERENT if narrower else Verdict.SAME,
                said,
                f"{item!r} is public as {patterns}, with or without a slash at its end{narrower}.",
            )
    for pattern, method in without_covered(found):
        rule: dict[str, Entry] = {} if pattern == "/**" else {"path": pattern}
        methods: dict[str, Entry] = {} if method is None else {"methods": [method]}
        draft.rules.append({**rule, **methods, "access": "public"})
    if draft.asked_everywhere:
        draft.rules.append(draft.asked_everywhere)


def upstreams(draft: Draft) -> None:
    said = draft.take("upstreams")
    flat = [] if said is None else [_flat_upstream(said, item) for item in said.items]
    identity = _identity(draft)
    for upstream in sorted([*flat, *draft.upstreams], key=lambda upstream: -len(upstream.path.rstrip("/"))):
        route = _route(draft, upstream)
        if route is None:
            continue
        if route["path"] in [other.get("path", "/**") for other in draft.routes]:
            refuse(upstream.place, f"is a second upstream for {upstream.path}.", "Keep one of them.")
        if route["path"] == "/**":
            del route["path"]
        draft.routes.append({**route, **({"identity": identity} if identity else {})})
    if not draft.routes and any("path" in rule or "methods" in rule for rule in draft.rules):
        draft.remarks += [
            Remark(
                verdict=Verdict.DIFFERENT,
                place=remark.place,
                sentence="/oauth2/auth is told no path, and refuses while rules look "
                "at paths: let the proxy ask at "
                "/auth/nginx, /auth/traefik or what fits it.",
            )
            for remark in [remark for remark in draft.remarks if " is public" in remark.sentence][:1]
        ]


def _flat_upstream(said: Said, item: str) -> Upstream:
    try:
        parts = urlsplit(item)
    except ValueError:
        refuse(said.place, f"holds {item!r}, which is no URL.", "Write http://host:port/.")
    path = "/" if parts.scheme in ("unix", "static") else parts.path or "/"
    if parts.scheme == "file" and parts.fragment:
        path = parts.fragment
    return Upstream(place=said.place, uri=item, path=path)


def _route(draft: Draft, upstream: Upstream) -> dict[str, Entry] | None:
    try:
        parts = urlsplit(upstream.uri)
    except ValueError:
        refuse(upstream.place, "is no URL.", "Write http://host:port/.")
    if parts.scheme == "static":
        draft.remark(
            Verdict.DIFFERENT,
            upstream,
            "The proxy in front has the application, and asks at /oauth2/auth; one that asked at / "
            "(Traefik's ForwardAuth) asks at /auth/traefik.",
        )
        return None
    if "its path is rewritten" in upstream.unlike or parts.scheme == "file":
        why = "Files are not served" if parts.scheme == "file" else "Paths are not rewritten"
        draft.remark(Verdict.NONE, upstream, f"{why}: what lies at {upstream.path} has no route of its own.")
        return None
    for unlike in upstream.unlike:
        verdict = Verdict.DANGEROUS if "certificate" in unlike else Verdict.NONE
        draft.remark(
            verdict, upstream, f"That {unlike} has no counterpart: it is as with every upstream here."
        )
    if parts.scheme == "unix":
        target = f"unix:{parts.path}"
    else:
        target = f"{parts.scheme}://{parts.netloc}"
        if parts.path not in ("", "/", upstream.path):
            draft.remark(Verdict.DIFFERENT, upstream, "The path in its URL is not put before the request's.")
    try:
        address, path = parse_upstream(target), _path_of(upstream.path)
    except ValueError as error:
        refuse(upstream.place, f"cannot be used: {error}.", "Mend it, or delete it.")
    draft.remark(Verdict.SAME, upstream, f"A route: {path} goes to {address}.")
    return {"path": path, "upstream": address}


def _path_of(path: str) -> str:
    """As oauth2-proxy matches: below a path with a slash at its end, exactly without, or an expression."""
    if path.startswith("^"):
        (pattern,) = translate_regex(path).patterns
        return pattern
    if path == "/":
        return "/**"
    return f"{path}**" if path.endswith("/") else path


def _identity(draft: Draft) -> list[str]:
    """The styles of the identity fields, where they are not the usual ones."""
    basic, plain = draft.take("pass_basic_auth"), draft.take("pass_user_headers")
    for said in (basic, plain):
        if said is not None and said.is_on:
            draft.remark(
                Verdict.DIFFERENT,
                said,
                "X-Forwarded-User is the object id, X-Forwarded-Groups roles and groups.",
            )
        elif said is not None:
            draft.remark(Verdict.NONE, said, "X-Forwarded-* is sent to every application.")
    styles = []
    for header in draft.headers or ():
        match = _IDENTITY_FIELD.fullmatch(header.name.lower())
        if header.keeps_the_client_s:
            draft.remark(Verdict.DANGEROUS, header, "What a client wrote itself reaches no application.")
        elif match is None:
            draft.remark(
                Verdict.DANGEROUS if header.name.lower() == "authorization" else Verdict.NONE,
                header,
                "It is not sent: there are X-Forwarded-*, X-Auth-Request-*, "
                "Remote-* and X-Entrada-Assertion.",
            )
        elif not header.to_upstream:
            draft.remark(Verdict.NEEDLESS, header, "All of them are in the answer to a proxy.")
        else:
            styles.append(match[1])
            draft.remark(Verdict.DIFFERENT, header, f"identity: {match[1]}; the user is the object id.")
    return sorted(set(styles) - {"x-forwarded"} | ({"x-forwarded"} if len(set(styles)) > 1 else set()))

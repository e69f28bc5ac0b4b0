"""`entrada import oauth2-proxy FILE`: what oauth2-proxy was configured by, as a configuration of ours.

    entrada import oauth2-proxy /etc/oauth2-proxy.cfg
    entrada import oauth2-proxy oauth2-proxy.service oauth2-proxy.env --into /etc/entrada

FILE is its configuration file, a file of OAUTH2_PROXY_… variables, a unit file or a command line, or the
nested YAML; give all that belong together. Says of every line what became of it. Writes entrada.toml, and the
secret into a file that only you may read; nothing that is there already is written over.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from entrada.cli.import_oauth2_proxy.reading import read_configuration
from entrada.cli.import_oauth2_proxy.remarks import Remark, Verdict
from entrada.cli.import_oauth2_proxy.translation import Translation, translate
from entrada.cli.import_oauth2_proxy.writing import SETTINGS_FILE, check, settings_text, write
from entrada.errors import ConfigurationError, named
from entrada.settings.values import read_origin

_MEANS = {
    Verdict.DANGEROUS: "DANGEROUS",
    Verdict.NONE: "no counterpart",
    Verdict.DIFFERENT: "with a difference",
    Verdict.SAME: "taken over",
    Verdict.NEEDLESS: "not needed",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "import",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    products = parser.add_subparsers(title="products", metavar="PRODUCT", required=True)
    proxy = products.add_parser("oauth2-proxy", help="write entrada.toml from oauth2-proxy's configuration")
    proxy.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="what oauth2-proxy is configured by"
    )
    proxy.add_argument(
        "--into", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)"
    )
    proxy.add_argument(
        "--public-url", metavar="URL", help="the address people use, if no redirect_url says so"
    )
    proxy.add_argument("--dry-run", action="store_true", help="write nothing; print entrada.toml")
    proxy.add_argument("--json", action="store_true", help="for scripts")
    proxy.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    public_url = None if args.public_url is None else _origin(args.public_url)
    translation = translate(read_configuration(args.files), public_url=public_url)
    if args.dry_run:
        text, written = settings_text(translation, folder=args.into), []
        check(text)
    else:
        written = [str(path) for path in write(translation, folder=args.into)]
        text = Path(written[0]).read_text("utf-8")
    start = _command(translation, args.into)
    if args.json:
        print(json.dumps(_document(translation, written, text, start), indent=2))
        return 0
    for line in _lines(translation.remarks):
        print(line)
    print()
    print(*(text,) if args.dry_run else [f"Written: {path}" for path in written], sep="\n")
    print(f"Start it with: {start}")
    dangerous = sum(remark.verdict is Verdict.DANGEROUS for remark in translation.remarks)
    if dangerous:
        print(f"Read first what is marked DANGEROUS above ({dangerous}).")
    return 0


def _origin(text: str) -> str:
    try:
        return str(read_origin(text))
    except ValueError as error:
        raise ConfigurationError(
            f"--public-url {text!r} cannot be used: {error}.", hint="Write it as https://tool.contoso.com."
        ) from None


def _lines(remarks: Sequence[Remark]) -> Iterator[str]:
    for remark in remarks:
        place = remark.place
        where = f"{place.file}:{place.line}" if place.line is not None else place.file
        yield f"{where}  {place.written}\n    {_MEANS[remark.verdict]}: {_told(remark)}"


def _told(remark: Remark) -> str:
    """The sentence, with settings as entrada.toml calls them."""
    return named(remark.sentence, lambda setting: setting)


def _command(translation: Translation, folder: Path) -> str:
    words = ["entrada", "serve", "--host", translation.host, "--port", str(translation.port)]
    if folder != Path():
        words += ["--settings", str(folder / SETTINGS_FILE)]
    return " ".join(map(quote, words))


def _document(translation: Translation, written: Sequence[str], text: str, start: str) -> dict[str, object]:
    return {
        "written": list(written),
        "start": start,
        "configuration": text,
        "remarks": [
            {
                "verdict": remark.verdict.value,
                "option": remark.place.written,
                "file": remark.place.file,
                "line": remark.place.line,
                "sentence": _told(remark),
            }
            for remark in translation.remarks
        ],
    }

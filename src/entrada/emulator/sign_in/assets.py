"""The files behind the pages: one style sheet, an icon and four small scripts."""

from __future__ import annotations

from ..protocol.http import Response

_STYLE = """
:root{color-scheme:light dark;--bg:#eef1f6;--card:#fff;--ink:#1b1f27;--soft:#5b6472;--line:#d5dae3;
--accent:#0f62c4;--accent-ink:#fff;--alert:#b3261e;--alert-bg:#fdecea;--tag:#e8edf5;--hover:#f3f6fb}
@media (prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1c212a;--ink:#eef1f6;--soft:#a6b0c0;
--line:#39414f;--accent:#6cb0ff;--accent-ink:#0b1420;--alert:#ffb4ab;--alert-bg:#43211e;--tag:#2c3442;
--hover:#252c38}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;justify-content:center;
background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;
padding:1rem}
.card{width:100%;max-width:28rem;background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:2rem;box-shadow:0 6px 24px rgb(0 0 0/.08)}
.card.wide{max-width:72rem}
.brand{display:flex;align-items:center;gap:.6rem;margin:0 0 1rem;color:var(--soft);font-weight:600}
.mark{width:1.1rem;height:1.1rem;border-radius:4px;background:var(--accent);transform:rotate(45deg) scale(.8)}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:1.5rem 0 .5rem}
.lead{color:var(--soft);margin:0 0 1rem;overflow-wrap:anywhere}
a{color:var(--accent)}
label{display:block;font-weight:600;margin:.5rem 0 .25rem}
.check{font-weight:400}
.check input{width:auto}
input,select,textarea{font:inherit;width:100%;padding:.55rem .7rem;border:1px solid var(--soft);
border-radius:8px;background:var(--card);color:inherit}
button,.button{font:inherit;padding:.55rem 1.1rem;border:1px solid var(--soft);border-radius:8px;
background:transparent;color:inherit;cursor:pointer;text-decoration:none;display:inline-block}
button:hover,.button:hover{background:var(--hover)}
.primary{background:var(--accent);border-color:var(--accent);color:var(--accent-ink);font-weight:600}
.primary:hover{background:var(--accent);filter:brightness(1.08)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.tiles{list-style:none;margin:0 0 1rem;padding:0;max-height:44rem;overflow:auto;
border-block:1px solid var(--line)}
.tile{display:flex;align-items:center;gap:.8rem;width:100%;border:0;border-radius:6px;text-align:left;
padding:.45rem .4rem}
.tile:focus-visible{outline-offset:-3px}
.avatar{flex:none;width:2.5rem;height:2.5rem;border-radius:50%;display:grid;place-items:center;
background:var(--accent);color:var(--accent-ink);font-weight:600}
.who{flex:1;min-width:0;display:flex;flex-direction:column}
.who strong{overflow-wrap:anywhere}
.who small{color:var(--soft);overflow-wrap:anywhere;line-height:1.3}
.tags{display:flex;flex-direction:column;gap:.2rem;align-items:flex-end}
.tag{font-size:.75rem;background:var(--tag);border-radius:99px;padding:.05rem .55rem;white-space:nowrap}
.row{display:flex;gap:.5rem}
.actions{display:flex;justify-content:flex-end;gap:.6rem;margin-top:1.2rem}
.alert{background:var(--alert-bg);color:var(--alert);border-radius:8px;padding:.7rem .9rem;
overflow-wrap:anywhere}
.plain{margin:.5rem 0;padding-left:1.2rem}
dl{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem;margin:0;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-family:ui-monospace,monospace}
.scroll{overflow-x:auto}
.scroll.tall{max-height:24rem;overflow-y:auto;border:1px solid var(--line);border-radius:8px}
.tall th{position:sticky;top:0;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:break-word}
th{white-space:nowrap}
td .row{flex-wrap:wrap}
td button{white-space:nowrap;padding:.25rem .7rem}
td:last-child code{overflow-wrap:anywhere}
code{font-family:ui-monospace,monospace;font-size:.9em}
.hidden{width:1px;height:1px;border:0;position:absolute;left:-9999px}
footer{color:var(--soft);font-size:.85rem;text-align:center;padding:1rem}
@media (max-width:30rem){.card{padding:1.25rem;border-radius:10px}}
@media (prefers-reduced-motion:no-preference){button{transition:background .12s}}
"""

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="6" y="6" width="20" height="20" '
    'rx="5" fill="#0f62c4" transform="rotate(45 16 16)"/></svg>'
)

_POST = "document.getElementById('post').submit();\n"

_SIGN_OUT = """
const link = document.getElementById('go-on');
const frames = [...document.querySelectorAll('iframe')];
const go = () => { if (link) location.replace(link.href); };
const loaded = frames.map((frame) => new Promise((done) => {
  frame.addEventListener('load', done);
  frame.addEventListener('error', done);
}));
const limit = new Promise((done) => setTimeout(done, 3000));
Promise.race([Promise.all(loaded), limit]).then(go);
"""

_CHECK_SESSION = """
addEventListener('message', async (event) => {
  const [client, state, more] = String(event.data).split(' ');
  let answer = 'error';
  if (client && state && more === undefined) {
    const query = new URLSearchParams({client_id: client, session_state: state, origin: event.origin});
    const response = await fetch(location.pathname + '?' + query);
    if (response.ok) answer = await response.text();
  }
  event.source.postMessage(answer, event.origin);
});
"""

_CONTROL = """
const answer = document.getElementById('answer');
const call = async (method, path, body) => {
  const response = await fetch('/_emulator/' + path, {
    method, headers: {'Content-Type': 'application/json'},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) { location.reload(); return; }
  const problem = await response.json();
  answer.textContent = problem.error + (problem.hint ? ' ' + problem.hint : '');
};
document.querySelectorAll('[data-call]').forEach((button) => button.addEventListener('click', () => {
  const body = button.dataset.body ? JSON.parse(button.dataset.body) : {};
  call(button.dataset.method || 'POST', button.dataset.call, body);
}));
const form = document.getElementById('fault');
if (form) form.addEventListener('submit', (event) => {
  event.preventDefault();
  let more = {};
  try { more = JSON.parse(form.more.value || '{}'); }
  catch (e) { answer.textContent = 'Parameters are not JSON.'; return; }
  const times = form.times.value === '' ? null : Number(form.times.value);
  const endpoint = form.endpoint.value || undefined;
  call('POST', 'faults', {fault: form.fault.value, endpoint, times, ...more});
});
"""

_FILES = {
    "style.css": (_STYLE, "text/css; charset=utf-8"),
    "icon.svg": (_ICON, "image/svg+xml"),
    "post.js": (_POST, "text/javascript; charset=utf-8"),
    "signout.js": (_SIGN_OUT, "text/javascript; charset=utf-8"),
    "checksession.js": (_CHECK_SESSION, "text/javascript; charset=utf-8"),
    "control.js": (_CONTROL, "text/javascript; charset=utf-8"),
}


def asset(name: str) -> Response | None:
    """A file by name."""
    if name not in _FILES:
        return None
    text, content_type = _FILES[name]
    return Response(
        body=text.encode(),
        content_type=content_type,
        headers=[("cache-control", "no-cache"), ("x-content-type-options", "nosniff")],
    )

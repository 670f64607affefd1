"""Pages without any script, for whom has not signed in: their frame, and what browsers are told of them."""

from __future__ import annotations

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
}

FRAME = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="/favicon.png">{head}<style>
:root{{color-scheme:light dark;--ink:#16202a;--paper:#f6f7f9;--card:#fff;--line:#8a95a0;--main:#0e6f70;--on:#fff;--bad:#a3271c}}
@media(prefers-color-scheme:dark){{:root{{--ink:#e4eaf0;--paper:#0e1318;--card:#171e26;--line:#6b7885;--main:#4db8b0;--on:#0e1318;--bad:#ff9c92}}}}
*{{box-sizing:border-box}}
body{{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}}
main{{width:100%;max-width:24rem;background:var(--card);border-radius:12px;padding:1.75rem 1.5rem;box-shadow:0 1px 12px rgb(0 0 0/.12)}}
img{{display:block;margin-bottom:.75rem}}h1{{font-size:1.4rem;line-height:1.25;margin:0}}.sub{{margin:.1rem 0 1.25rem;opacity:.75}}
label{{display:block;font-weight:600;margin:.9rem 0 .3rem}}
input{{width:100%;min-height:44px;padding:.5rem .7rem;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:8px}}
a.main{{display:grid;place-items:center;width:100%;min-height:46px;margin-top:.4rem;font-weight:650;text-decoration:none;color:var(--on);background:var(--main);border-radius:8px}}
details{{margin-top:1.1rem}}.said+a.main{{margin-top:1.1rem}}
summary{{min-height:44px;display:flex;align-items:center;gap:.5rem;cursor:pointer;font-size:.92rem;list-style:none}}summary::-webkit-details-marker{{display:none}}
summary::before{{content:"";border:.35em solid transparent;border-left:.5em solid;border-right:0}}details[open] summary::before{{transform:rotate(90deg)}}details button{{background:none;color:inherit;border:1px solid var(--line)}}
button{{width:100%;min-height:46px;margin-top:1.3rem;font:inherit;font-weight:650;color:var(--on);background:var(--main);border:0;border-radius:8px;cursor:pointer}}
:focus-visible{{outline:2px solid var(--main);outline-offset:2px}}.said{{margin:0;color:var(--bad);font-weight:600}}
dl{{margin:0;display:grid;gap:.15rem}}dt{{opacity:.75;font-size:.88rem;margin-top:.4rem}}dd{{margin:0;font-weight:600;overflow-wrap:anywhere}}
.help{{font-size:.88rem;opacity:.75;margin:1.1rem 0 0}}nav{{margin-top:.8rem;font-size:.9rem}}a{{color:inherit;display:inline-block;padding:.65rem 0}}
</style></head><body><main>{body}</main></body></html>"""  # noqa: E501

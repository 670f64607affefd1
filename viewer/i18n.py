"""The viewer's languages: which one a person gets, and the text of a key in it.

Flat dictionaries, one per language (words_id, words_en, each in parts by page). A key that is missing in one of them,
or used nowhere, fails a test, so neither language can fall behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from viewer import words_en, words_id

TEXTS: dict[str, dict[str, str]] = {"id": words_id.TEXT, "en": words_en.TEXT}
LANGUAGE_NAMES = {"id": "Bahasa Indonesia", "en": "English"}
DEFAULT_LANGUAGE = "id"

STREAMLIT = {
    "Skip to main content": "skip",
    "Show password": "show_password",
    "Hide password": "hide_password",
    "Clear entry": "clear",
    "Clear value": "clear_value",
    "Clear all": "clear_all",
    "Clear date": "clear_date",
    "Clear dates": "clear_dates",
    "Clear time": "clear_time",
    "Open": "open",
    "Choose date": "choose_date",
    "Choose date range": "choose_dates",
    "Use arrow keys to navigate dates. Enter to select. Escape to close.": "date_keys",
    "Select all": "select_all",
    "Selected values": "selected",
    "Selectbox options": "options",
    "Multiselect options": "more_options",
    "Choose an option": "choose",
    "Choose options": "choose_some",
    "No results": "no_results",
    "No options to select": "no_options",
    "Press Enter to apply": "enter",
    "Press Enter to submit form": "enter_form",
    "Press Ctrl+Enter to apply": "enter_text",
    "Press Ctrl+Enter to submit form": "enter_text_form",
    "Close": "close",
    "Connection error": "away",
    "Is Streamlit still running? If you accidentally stopped Streamlit, just restart it in your terminal:": "away_here",
    "Streamlit server is not responding. Are you connected to the internet?": "away_there",
}
"""What Streamlit says by itself in the browser, in English only, and which of our texts (streamlit.*) it stands for."""


@dataclass(frozen=True)
class Words:
    """The wording of one language: words("find.title"), words("find.total", count="12")."""

    lang: str

    def __call__(self, key: str, **values: object) -> str:
        return TEXTS[self.lang][key].format(**values)

    def one_of(self, family: str, member: str, otherwise: str = "") -> str:
        """The text of family.member, or `otherwise` for a member that has none (codes come from other rooms)."""
        text = TEXTS[self.lang].get(f"{family}.{member}")
        return otherwise if text is None else text


def of_streamlit(words: Words) -> dict[str, str]:
    """Streamlit's own texts, also as they may read in another language of ours, and what they are in this one."""
    said: dict[str, str] = {}
    for text, name in STREAMLIT.items():
        for told in (text, *(Words(lang).one_of("streamlit", name) for lang in TEXTS)):
            said.setdefault(told, words.one_of("streamlit", name))
    return said


def choose_language(asked: str | None, accept_language: str | None) -> str:
    """`asked` (from the address) when it is a language of ours, else the browser's first that is, else Indonesian."""
    if asked in TEXTS:
        return str(asked)
    for part in ranked(accept_language or ""):
        main = part.split("-")[0].lower()
        main = "id" if main in ("in", "ms", "jv", "su") else main
        if main in TEXTS:
            return main
    return DEFAULT_LANGUAGE


def ranked(accept_language: str) -> list[str]:
    """The language tags of an Accept-Language header, most wanted first; nonsense is left out."""
    tags: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        try:
            rank = float(weight) if weight else 1.0
        except ValueError:
            continue
        if tag and rank > 0:
            tags.append((-rank, place, tag.strip()))
    return [tag for _, _, tag in sorted(tags)]

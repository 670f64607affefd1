"""English wording of the viewer, in parts by page.

Keys as in words_id, part by part; a test compares them and their use in the code.
"""

from viewer.words_en import (
    bookmarks,
    coverage,
    deeds,
    exports,
    find,
    frame,
    holds,
    operations,
    people,
    reasons,
    recording,
    sites,
    watch,
)

TEXT: dict[str, str] = {
    **frame.TEXT,
    **people.TEXT,
    **find.TEXT,
    **recording.TEXT,
    **reasons.TEXT,
    **watch.TEXT,
    **bookmarks.TEXT,
    **exports.TEXT,
    **holds.TEXT,
    **coverage.TEXT,
    **sites.TEXT,
    **operations.TEXT,
    **deeds.TEXT,
}

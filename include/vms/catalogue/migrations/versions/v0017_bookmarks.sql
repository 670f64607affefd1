-- Bookmarks: moments and ranges of one or several cameras that people marked, with a note and tags. They belong to no
-- recording: what somebody wrote stays when the footage is purged.

-- The words of a note and its tags, for the search. Cut at all that is no letter or digit, so that the words of a question
-- are cut alike (addresses and file names are no words of their own).
CREATE FUNCTION bookmark_words(note text, tags text[]) RETURNS tsvector IMMUTABLE LANGUAGE sql AS $$
    SELECT to_tsvector('simple', regexp_replace(note || ' ' || array_to_string(tags, ' '), '[^[:alnum:]]+', ' ', 'g'))
$$;

-- [from_at, to_at], equal for a moment. Neither is ever changed, so that bookmark_camera may repeat them.
CREATE TABLE bookmark (
    bookmark_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      int NOT NULL REFERENCES viewer_user,
    made_at      timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL CHECK (to_at >= from_at AND to_at - from_at <= interval '31 days'),
    note         text NOT NULL CHECK (length(note) <= 2000),
    tags         text[] NOT NULL CHECK (cardinality(tags) <= 12),
    words        tsvector NOT NULL GENERATED ALWAYS AS (bookmark_words(note, tags)) STORED,
    CHECK (note <> '' OR cardinality(tags) > 0)
);

-- The newest of all, of one person; those that say something.
CREATE INDEX bookmark_time ON bookmark (from_at DESC, bookmark_id DESC);
CREATE INDEX bookmark_user ON bookmark (user_id, from_at DESC, bookmark_id DESC);
CREATE INDEX bookmark_said ON bookmark USING gin (words);
CREATE INDEX bookmark_tags ON bookmark USING gin (tags);

CREATE TABLE bookmark_camera (
    bookmark_id  bigint NOT NULL REFERENCES bookmark ON DELETE CASCADE,
    camera_id    int NOT NULL REFERENCES camera,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL,
    PRIMARY KEY (bookmark_id, camera_id)
);

-- The newest of a camera, and those of a stretch of its timeline.
CREATE INDEX bookmark_camera_time ON bookmark_camera (camera_id, from_at DESC, bookmark_id DESC) INCLUDE (to_at);

-- Which bookmarks say these words, have these tags: numbers alone, of all. Postgres does not use an index for such a
-- question before it has asked row by row who may see the row; so they are found here and then asked for under the rule.
CREATE FUNCTION bookmarks_saying(asked tsquery) RETURNS SETOF bigint STABLE SECURITY DEFINER SET search_path = public
ROWS 50 LANGUAGE sql AS $$
    SELECT bookmark_id FROM bookmark WHERE words @@ asked
$$;
CREATE FUNCTION bookmarks_tagged(asked text[]) RETURNS SETOF bigint STABLE SECURITY DEFINER SET search_path = public
ROWS 50 LANGUAGE sql AS $$
    SELECT bookmark_id FROM bookmark WHERE tags @> asked
$$;

-- The viewer's role: a bookmark is for who sees all its cameras, as its note may tell of any of them; changed and removed
-- by who made it. (Of who sees everything the viewer asks whose it is: administrators may, for all.)
CREATE FUNCTION bookmark_is_within_grants(bigint) RETURNS boolean STABLE SECURITY DEFINER SET search_path = public
LANGUAGE sql AS $$
    SELECT NOT EXISTS (
        SELECT FROM bookmark_camera x WHERE x.bookmark_id = $1 AND x.camera_id NOT IN (SELECT granted_cameras())
    )
$$;

ALTER TABLE bookmark ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON bookmark FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all()) OR ((SELECT asking_user()) IS NOT NULL AND bookmark_is_within_grants(bookmark_id))
);
CREATE POLICY made ON bookmark FOR INSERT TO vms_viewer WITH CHECK (
    (SELECT asks_for_all()) OR user_id = (SELECT asking_user())
);
CREATE POLICY changed ON bookmark FOR UPDATE TO vms_viewer USING (
    (SELECT asks_for_all()) OR user_id = (SELECT asking_user())
);
CREATE POLICY removed ON bookmark FOR DELETE TO vms_viewer USING (
    (SELECT asks_for_all()) OR user_id = (SELECT asking_user())
);
ALTER TABLE bookmark_camera ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON bookmark_camera FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all()) OR camera_id IN (SELECT granted_cameras())
);
CREATE POLICY made ON bookmark_camera FOR INSERT TO vms_viewer WITH CHECK (
    (SELECT asks_for_all()) OR camera_id IN (SELECT granted_cameras())
);

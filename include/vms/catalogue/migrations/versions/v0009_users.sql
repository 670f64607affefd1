-- People who sign in to the viewer. Their accounts are changed by the catalogue's owner only; the viewer's role reads
-- them, keeps the sessions, and counts the tries.

-- password: argon2id in its own text form, with salt and costs. A user is never deleted, because the log names them.
CREATE TABLE viewer_user (
    user_id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,39}$'),
    role         text NOT NULL CHECK (role IN ('administrator', 'investigator', 'viewer', 'auditor')),
    password     text NOT NULL,
    made_at      timestamptz NOT NULL,
    made_by      text NOT NULL,
    disabled_at  timestamptz
);

-- token_hash: SHA-256 of what the browser's cookie holds, which is stored nowhere. seen_at: when the person last did
-- something; a page that renews itself does not count. A session that has ended has no row.
CREATE TABLE viewer_session (
    token_hash  bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id     int NOT NULL REFERENCES viewer_user,
    made_at     timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    address     text NOT NULL
);

-- The sessions of a user.
CREATE INDEX viewer_session_user ON viewer_session (user_id);

-- Tries to sign in, counted before the password is looked at, so that many at once do not slip through. name_hash:
-- SHA-256 of the name that was typed, because people type passwords into the wrong field.
CREATE TABLE sign_in_try (
    try_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    name_hash  bytea NOT NULL,
    address    text NOT NULL
);

-- How many lately for this name, how many from this address?
CREATE INDEX sign_in_try_name ON sign_in_try (name_hash, at);
CREATE INDEX sign_in_try_address ON sign_in_try (address, at);

-- From where somebody did what the log says; '' for what was done on the machine itself.
ALTER TABLE view_log ADD COLUMN address text NOT NULL DEFAULT '';

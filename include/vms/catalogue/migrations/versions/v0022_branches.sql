-- A branch: the machine at a site that reaches the centre by HTTPS alone. site: the site's id in sites.yaml, which has a
-- row in site only once it was seen. Only the owner's role has anything to do with these tables.
CREATE TABLE branch (
    site           text PRIMARY KEY,
    invited_at     timestamptz NOT NULL,
    invited_by     text NOT NULL,
    -- The newest invitation. token: SHA-256 of its secret. key: SHA-256 of the public key that it was used with, so
    -- that the same machine may ask again whose line broke before it had its answer.
    token          bytea NOT NULL CHECK (length(token) = 32),
    token_until    timestamptz NOT NULL,
    token_used_at  timestamptz,
    key            bytea CHECK (length(key) = 32),
    joined_at      timestamptz,
    machine        text NOT NULL DEFAULT '',   -- its name and the program's version, as it told them itself
    version        text NOT NULL DEFAULT '',
    seen_at        timestamptz,
    seen_from      text NOT NULL DEFAULT '',
    revoked_at     timestamptz,
    revoked_by     text,
    CHECK ((token_used_at IS NULL) = (key IS NULL) AND (revoked_at IS NULL) = (revoked_by IS NULL))
);

-- Each certificate that a branch got. serial: hexadecimal, in small letters, without leading zeros.
CREATE TABLE branch_certificate (
    serial      text PRIMARY KEY,
    site        text NOT NULL REFERENCES branch,
    issued_at   timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    revoked_at  timestamptz
);
CREATE INDEX branch_certificate_site ON branch_certificate (site, not_after);

ALTER TABLE branch ENABLE ROW LEVEL SECURITY;
ALTER TABLE branch_certificate ENABLE ROW LEVEL SECURITY;

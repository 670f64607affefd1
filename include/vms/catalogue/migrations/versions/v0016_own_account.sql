-- What people change of their own account. The viewer's role still can't write accounts: it can ask these functions, which
-- do it for whom an open session belongs to, and write it into the log.

-- lang: in which language the pages speak to them unless the address says another; NULL: as the browser wants.
ALTER TABLE viewer_user ADD COLUMN lang text CHECK (lang IN ('id', 'en'));

-- device: what the browser said of itself when the session began, by which people know their own sessions.
ALTER TABLE viewer_session ADD COLUMN device text NOT NULL DEFAULT '';

-- Another password in place of the one that was checked (was: as it was kept then, so that of two changes at once one
-- wins). The other sessions end. False: nothing was changed.
CREATE FUNCTION change_own_password(own_session bytea, was text, is_now text, seen_from text) RETURNS boolean
SECURITY DEFINER SET search_path = public LANGUAGE plpgsql AS $$
DECLARE
    own viewer_user;
BEGIN
    UPDATE viewer_user u SET password = is_now FROM viewer_session s
    WHERE s.token_hash = own_session AND s.user_id = u.user_id AND u.disabled_at IS NULL AND u.password = was
    RETURNING u.* INTO own;
    IF own.user_id IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM viewer_session WHERE user_id = own.user_id AND token_hash <> own_session;
    INSERT INTO view_log (who, action, detail, address)
    VALUES (own.name, 'user_password', jsonb_build_object('user', own.name), seen_from);
    RETURN true;
END $$;

CREATE FUNCTION change_own_language(own_session bytea, is_now text, seen_from text) RETURNS boolean
SECURITY DEFINER SET search_path = public LANGUAGE plpgsql AS $$
DECLARE
    own viewer_user;
BEGIN
    UPDATE viewer_user u SET lang = is_now FROM viewer_session s
    WHERE s.token_hash = own_session AND s.user_id = u.user_id AND u.disabled_at IS NULL
    RETURNING u.* INTO own;
    IF own.user_id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO view_log (who, action, detail, address)
    VALUES (own.name, 'user_language', jsonb_build_object('language', coalesce(is_now, '')), seen_from);
    RETURN true;
END $$;

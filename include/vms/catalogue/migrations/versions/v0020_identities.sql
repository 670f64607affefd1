-- People whom the company's identity provider vouches for. A user may have a password, such an identity, or both.

-- Names may be e-mail addresses, as some providers have no others. password NULL: there is none that lets them in.
ALTER TABLE viewer_user DROP CONSTRAINT viewer_user_name_check;
ALTER TABLE viewer_user ADD CONSTRAINT viewer_user_name_check CHECK (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$');
ALTER TABLE viewer_user ALTER COLUMN password DROP NOT NULL;

-- A user whom the provider may let in. issuer, subject: by which the provider knows them for ever, whatever becomes of
-- their name; NULL: the first who comes under the user's name is meant. made: the account was made when they first came,
-- and their groups decide their role each time; else an administrator gave it.
CREATE TABLE viewer_identity (
    user_id   int PRIMARY KEY REFERENCES viewer_user,
    issuer    text,
    subject   text,
    bound_at  timestamptz,
    made      boolean NOT NULL,
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL) AND (issuer IS NULL) = (bound_at IS NULL))
);

-- Somebody has proven to the viewer that the provider knows them as subject of issuer, under this name, with groups that
-- give this role (NULL: none). Returns their user and 'in', or no user and why they may not come in: 'disabled', 'role',
-- 'taken' (the name is another's), 'unknown'. may_make: an account is made for who has none; it sees everything, or
-- these sites ('ho') and cameras ('ho/lobby').
CREATE FUNCTION enter_by_provider(
    from_issuer text, is_subject text, is_called text, has_role text, may_make boolean, sees_all boolean, sees text[],
    seen_from text, OUT entered int, OUT called text, OUT how text
) SECURITY DEFINER SET search_path = public LANGUAGE plpgsql AS $$
DECLARE
    own viewer_user;
    is_made boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7302118017);  -- one after the other: the first of two at once makes the account
    SELECT u.* INTO own FROM viewer_user u JOIN viewer_identity i USING (user_id)
    WHERE i.issuer = from_issuer AND i.subject = is_subject FOR UPDATE OF u;
    IF NOT FOUND THEN
        SELECT * INTO own FROM viewer_user WHERE name = is_called FOR UPDATE;
        IF FOUND THEN
            UPDATE viewer_identity SET issuer = from_issuer, subject = is_subject, bound_at = now()
            WHERE user_id = own.user_id AND subject IS NULL;
            IF NOT FOUND THEN
                how := 'taken';
                RETURN;
            END IF;
            INSERT INTO view_log (who, action, detail, address)
            VALUES (own.name, 'user_bound', jsonb_build_object('user', own.name, 'issuer', from_issuer), seen_from);
        ELSIF NOT may_make THEN
            how := 'unknown';
            RETURN;
        ELSIF has_role IS NULL THEN
            how := 'role';
            RETURN;
        ELSE
            INSERT INTO viewer_user (name, role, made_at, made_by, everywhere)
            VALUES (is_called, has_role, now(), from_issuer, sees_all OR has_role IN ('administrator', 'auditor'))
            RETURNING * INTO own;
            INSERT INTO viewer_identity VALUES (own.user_id, from_issuer, is_subject, now(), true);
            INSERT INTO viewer_grant
            SELECT own.user_id, s.site_id, c.camera_id
            FROM unnest(sees) AS one JOIN site s ON s.slug = split_part(one, '/', 1)
            LEFT JOIN camera c ON c.site_id = s.site_id AND c.slug = split_part(one, '/', 2)
            WHERE split_part(one, '/', 2) = '' OR c.camera_id IS NOT NULL
            ON CONFLICT DO NOTHING;
            INSERT INTO view_log (who, action, detail, address)
            VALUES (own.name, 'user_added', jsonb_build_object('user', own.name, 'role', own.role, 'issuer', from_issuer,
                    'everywhere', own.everywhere), seen_from);
        END IF;
    END IF;
    called := own.name;
    IF own.disabled_at IS NOT NULL THEN
        how := 'disabled';
        RETURN;
    END IF;
    SELECT made INTO is_made FROM viewer_identity WHERE user_id = own.user_id;
    IF is_made AND has_role IS NULL THEN
        DELETE FROM viewer_session WHERE user_id = own.user_id;
        how := 'role';
        RETURN;
    END IF;
    IF is_made AND has_role <> own.role THEN
        UPDATE viewer_user SET role = has_role, everywhere = sees_all OR has_role IN ('administrator', 'auditor')
        WHERE user_id = own.user_id;
        DELETE FROM viewer_session WHERE user_id = own.user_id;
        INSERT INTO view_log (who, action, detail, address)
        VALUES (own.name, 'user_role', jsonb_build_object('user', own.name, 'role', has_role, 'issuer', from_issuer),
                seen_from);
    END IF;
    entered := own.user_id;
    how := 'in';
END $$;

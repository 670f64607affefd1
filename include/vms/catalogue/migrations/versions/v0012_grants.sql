-- Who sees which footage. Held by the database itself for the viewer's role, so that a forgotten condition shows nothing
-- that was not granted. The owner of the tables (archiving, retention, the command line's changes) is not asked.

-- everywhere: every site, also those that come later.
ALTER TABLE viewer_user ADD COLUMN everywhere boolean NOT NULL DEFAULT false;
UPDATE viewer_user SET everywhere = true;
ALTER TABLE viewer_user ALTER COLUMN everywhere DROP DEFAULT;

-- camera_id NULL: every camera of the site, also one that is added later.
CREATE TABLE viewer_grant (
    user_id    int NOT NULL REFERENCES viewer_user,
    site_id    int NOT NULL REFERENCES site,
    camera_id  int REFERENCES camera,
    UNIQUE NULLS NOT DISTINCT (user_id, site_id, camera_id)
);

-- For whom a connection of the viewer asks at this moment: a user's number, '*' for one who sees everything, or nothing,
-- which sees nothing. Set whenever a connection is handed out (viewer.database).
CREATE FUNCTION asks_for_all() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT coalesce(current_setting('vms.asking', true), '') = '*'
$$;

CREATE FUNCTION asking_user() RETURNS int STABLE LANGUAGE sql AS $$
    SELECT CASE WHEN current_setting('vms.asking', true) ~ '^[0-9]{1,9}$' THEN current_setting('vms.asking', true)::int END
$$;

-- What that user was granted. They look with the owner's eyes, as the tables below are closed to who asks.
CREATE FUNCTION granted_cameras() RETURNS SETOF int STABLE SECURITY DEFINER SET search_path = public LANGUAGE sql AS $$
    SELECT c.camera_id FROM viewer_grant g JOIN camera c ON c.site_id = g.site_id
    WHERE g.user_id = asking_user() AND (g.camera_id IS NULL OR g.camera_id = c.camera_id)
$$;

CREATE FUNCTION granted_sites() RETURNS SETOF int STABLE SECURITY DEFINER SET search_path = public LANGUAGE sql AS $$
    SELECT site_id FROM viewer_grant WHERE user_id = asking_user()
$$;

CREATE FUNCTION wholly_granted_sites() RETURNS SETOF int STABLE SECURITY DEFINER SET search_path = public
LANGUAGE sql AS $$
    SELECT site_id FROM viewer_grant WHERE user_id = asking_user() AND camera_id IS NULL
$$;

-- By camera: footage and what is known of it.
DO $$
DECLARE one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['camera', 'recording', 'lineage', 'camera_day', 'camera_total', 'store_day', 'gap_note']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY granted ON %I FOR SELECT TO vms_viewer USING'
                       ' ((SELECT asks_for_all()) OR camera_id IN (SELECT granted_cameras()))', one);
    END LOOP;
    -- By site: what belongs to no camera of it.
    FOREACH one IN ARRAY ARRAY['site', 'run', 'store_state', 'site_watch', 'backfill_site']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY granted ON %I FOR SELECT TO vms_viewer USING'
                       ' ((SELECT asks_for_all()) OR site_id IN (SELECT granted_sites()))', one);
    END LOOP;
    -- By their recording, which is asked under its own rule.
    FOREACH one IN ARRAY ARRAY['copy', 'recording_source', 'quarantine', 'batch_item', 'copy_wanted', 'hold_in_store',
                             'backfill_item']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY granted ON %1$I FOR SELECT TO vms_viewer USING'
                       ' ((SELECT asks_for_all()) OR EXISTS (SELECT FROM recording r'
                       ' WHERE r.recording_id = %1$I.recording_id AND r.start_at = %1$I.start_at))', one);
    END LOOP;
    -- Of the installation as a whole.
    FOREACH one IN ARRAY ARRAY['purge_plan', 'purge_item', 'stray_object', 'store_round', 'backfill']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY granted ON %I FOR SELECT TO vms_viewer USING ((SELECT asks_for_all()))', one);
    END LOOP;
END $$;

-- Batches of copies hold any camera's recordings; which ones is asked of their items.
ALTER TABLE batch ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON batch FOR SELECT TO vms_viewer
    USING ((SELECT asks_for_all()) OR camera_id IS NULL OR camera_id IN (SELECT granted_cameras()));

-- An alert of a site is for who sees that site; of a store, a plan or a folder for who sees everything.
ALTER TABLE alert ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON alert FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all()) OR site IN (SELECT slug FROM site)
);
ALTER TABLE alert_message ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON alert_message FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all()) OR alert_id IN (SELECT alert_id FROM alert) OR (alert_id IS NULL AND site IN (SELECT slug FROM site))
);

-- The log is added to by everybody and read by who sees everything.
ALTER TABLE view_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON view_log FOR SELECT TO vms_viewer USING ((SELECT asks_for_all()));
CREATE POLICY added ON view_log FOR INSERT TO vms_viewer WITH CHECK (true);

-- A hold is seen by who sees something that it keeps; one that keeps nothing yet by whoever is just making it.
CREATE FUNCTION hold_is_bare(bigint) RETURNS boolean STABLE SECURITY DEFINER SET search_path = public LANGUAGE sql AS $$
    SELECT NOT EXISTS (SELECT FROM hold_scope WHERE hold_id = $1)
$$;

ALTER TABLE hold_scope ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON hold_scope FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all()) OR camera_id IN (SELECT granted_cameras())
    OR (camera_id IS NULL AND site_id IN (SELECT granted_sites()))
);
ALTER TABLE hold ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON hold FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all()) OR hold_id IN (SELECT hold_id FROM hold_scope) OR hold_is_bare(hold_id)
);

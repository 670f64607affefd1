-- Whether somebody sees all cameras of a bookmark was asked of each one that a list passed, of another table: of a person
-- whose cameras' bookmarks are mostly of others' cameras, too, a list took 4 s. So a bookmark says itself which they are.

-- Written with it and, like its time, never changed. NULL: made by an older version, so the other table is asked as before.
ALTER TABLE bookmark ADD COLUMN cameras int[];
UPDATE bookmark SET cameras = ARRAY(
    SELECT camera_id FROM bookmark_camera x WHERE x.bookmark_id = bookmark.bookmark_id ORDER BY camera_id
);

DROP POLICY granted ON bookmark;
CREATE POLICY granted ON bookmark FOR SELECT TO vms_viewer USING (
    (SELECT asks_for_all())
    OR cameras <@ (SELECT array_agg(camera_id) FROM granted_cameras() AS camera_id)
    OR (cameras IS NULL AND (SELECT asking_user()) IS NOT NULL AND bookmark_is_within_grants(bookmark_id))
);
DROP POLICY made ON bookmark;
CREATE POLICY made ON bookmark FOR INSERT TO vms_viewer WITH CHECK (
    (SELECT asks_for_all()) OR (
        user_id = (SELECT asking_user()) AND (
            cameras IS NULL
            OR (
                cardinality(cameras) > 0
                AND cameras <@ (SELECT array_agg(camera_id) FROM granted_cameras() AS camera_id)
            )
        )
    )
);

-- A camera is added to a bookmark only as that says.
CREATE FUNCTION is_camera_of(bookmark bigint, camera int) RETURNS boolean STABLE SECURITY DEFINER SET search_path = public
LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM bookmark b WHERE b.bookmark_id = $1 AND (b.cameras IS NULL OR $2 = ANY (b.cameras)))
$$;
DROP POLICY made ON bookmark_camera;
CREATE POLICY made ON bookmark_camera FOR INSERT TO vms_viewer WITH CHECK (
    ((SELECT asks_for_all()) OR camera_id IN (SELECT granted_cameras())) AND is_camera_of(bookmark_id, camera_id)
);

-- A link to an export is good only while whoever ordered it may see all of its cameras. Whoever opens the link is nobody,
-- so this looks with the owner's eyes.
CREATE FUNCTION orderer_sees_all(export bigint) RETURNS boolean STABLE SECURITY DEFINER SET search_path = public
LANGUAGE sql AS $$
    SELECT u.everywhere OR NOT EXISTS (
        SELECT FROM export_camera x JOIN camera c USING (camera_id)
        WHERE x.export_id = e.export_id AND NOT EXISTS (
            SELECT FROM viewer_grant g
            WHERE g.user_id = e.user_id AND g.site_id = c.site_id
              AND (g.camera_id IS NULL OR g.camera_id = c.camera_id)
        )
    )
    FROM export_order e JOIN viewer_user u USING (user_id) WHERE e.export_id = export
$$;

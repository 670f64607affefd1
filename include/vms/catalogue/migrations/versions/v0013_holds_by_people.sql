-- Holds are made and released in the viewer, too: of what the person sees, and a whole site only by who sees all of it.
-- Which role may do so at all is asked by the viewer (vms.users).

CREATE FUNCTION hold_is_within_grants(bigint) RETURNS boolean STABLE SECURITY DEFINER SET search_path = public
LANGUAGE sql AS $$
    SELECT asks_for_all() OR NOT EXISTS (
        SELECT FROM hold_scope x WHERE x.hold_id = $1
        AND NOT coalesce(x.camera_id IN (SELECT granted_cameras()), x.site_id IN (SELECT wholly_granted_sites()))
    )
$$;

CREATE POLICY made ON hold FOR INSERT TO vms_viewer WITH CHECK (released_at IS NULL);
CREATE POLICY released ON hold FOR UPDATE TO vms_viewer USING (hold_is_within_grants(hold_id));
CREATE POLICY made ON hold_scope FOR INSERT TO vms_viewer WITH CHECK (
    (SELECT asks_for_all())
    OR coalesce(camera_id IN (SELECT granted_cameras()), site_id IN (SELECT wholly_granted_sites()))
);

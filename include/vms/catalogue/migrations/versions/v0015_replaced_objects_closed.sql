-- Objects on their way out are the installation's business: whoever sees some cameras only is shown none of them.
ALTER TABLE replaced_object ENABLE ROW LEVEL SECURITY;
CREATE POLICY granted ON replaced_object FOR SELECT TO vms_viewer USING ((SELECT asks_for_all()));

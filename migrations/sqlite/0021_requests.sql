-- The story of a request is asked for by its id alone.
CREATE INDEX instance_actions_by_request ON instance_actions (request_id);

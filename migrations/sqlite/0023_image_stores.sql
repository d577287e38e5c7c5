-- In which of several stores bytes are. Those from before are in the one that there was.
ALTER TABLE image_objects ADD COLUMN store TEXT NOT NULL DEFAULT 'default';

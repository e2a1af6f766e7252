-- The small content that a file's row leads to, for joins, as `child` is for directories. Rows that were written before have
-- none: their content is asked for by itself.
ALTER TABLE names ADD COLUMN content int8;

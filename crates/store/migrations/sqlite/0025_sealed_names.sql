-- What the id of a name and address is made of beside these: so what a seal covers says who it was. It goes with them when they
-- are forgotten. Where there is none the name is of before it, or an address of something that is no event of the audit.
ALTER TABLE audit_subjects ADD COLUMN salt BLOB;

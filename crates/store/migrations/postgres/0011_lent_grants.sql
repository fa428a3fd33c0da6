-- Until when tokens of others stand on a grant (token exchange): for as long a stop names it to the nodes by itself.
ALTER TABLE grants ADD COLUMN lent_until BIGINT;

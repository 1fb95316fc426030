-- Lists of documents in one state, newest first, and how many there are in each.
create index documents_by_status on documents (owner_id, status, created_at desc, id desc);

-- Lists by name. The expression is the one that listing.py sorts by.
create index documents_by_name on documents (owner_id, lower(filename), id);

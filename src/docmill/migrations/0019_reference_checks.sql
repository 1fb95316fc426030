-- What a reference is checked with reads one row. The server keeps the plan of such a check in each session. Made
-- while it knew nothing of the table (it is new, or restored), any index that begins with the owner looked as good as
-- the key, and of equal ones it takes the newest: each page, passage, vector and job of a document that came then was
-- checked by reading its owner's documents through, until the table was analyzed. Keys that begin with the id, made
-- after the other indexes, leave no choice.
alter table pages drop constraint pages_owner_id_document_id_fkey;
alter table chunks drop constraint chunks_owner_id_document_id_fkey;
alter table embeddings drop constraint embeddings_owner_id_document_id_fkey;
alter table processing_jobs drop constraint processing_jobs_owner_id_document_id_fkey;
alter table uploads drop constraint uploads_owner_id_document_id_fkey;
alter table webhook_deliveries drop constraint webhook_deliveries_owner_id_document_id_fkey;
alter table documents drop constraint documents_owner_id_id_key, add unique (id, owner_id);

alter table webhook_attempts drop constraint webhook_attempts_owner_id_delivery_id_fkey;
alter table webhook_deliveries drop constraint webhook_deliveries_id_owner_id_key, add unique (id, owner_id);

-- The same when a file goes: whether a document has it still.
drop index documents_by_file, documents_by_served_file;
create index documents_by_file on documents (file_id, owner_id);
create index documents_by_served_file on documents (served_file_id, owner_id);

-- What is there was checked before; 0020 says so to the server, while others go on.
alter table pages add foreign key (owner_id, document_id)
  references documents (owner_id, id) on delete cascade not valid;
alter table chunks add foreign key (owner_id, document_id)
  references documents (owner_id, id) on delete cascade not valid;
alter table embeddings add foreign key (owner_id, document_id)
  references documents (owner_id, id) on delete cascade not valid;
alter table processing_jobs add foreign key (owner_id, document_id)
  references documents (owner_id, id) on delete cascade not valid;
alter table uploads add foreign key (owner_id, document_id)
  references documents (owner_id, id) on delete cascade not valid;
alter table webhook_deliveries add foreign key (owner_id, document_id)
  references documents (owner_id, id) on delete cascade not valid;
alter table webhook_attempts add foreign key (owner_id, delivery_id)
  references webhook_deliveries (owner_id, id) on delete cascade not valid;
